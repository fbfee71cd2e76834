--[[ free.lua: lets go of a caller's key that leads to a job of which nothing is left.

  Why a script   Between a look and a plain DEL the job may come back, or the key may come with another request.
  Caller         Store::free_keys (src/lent.rs).
  Decides        Nothing.

  KEYS  1 idem  string  the key
        2 job   hash    the record of the job that it names
        3 tombs hash    where the tombstone of that job stands

  ARGV  1 id     of the job
        2 field  of its tombstone

  Reply 1  the key leads to that job no more | 0  the job is there, or its tombstone

  Safe to repeat: the second call changes nothing.
  Cost: O(1). ]]

if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1 then return 0 end
if (redis.call('GET', KEYS[1]) or ''):match('^%S+') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
