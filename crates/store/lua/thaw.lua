--[[ thaw.lua: attempts may begin again.

  Why a script   Between a look at the freeze and its end a newer one may have come: it must stay.
  Caller         Store::thaw and Store::thaw_only (src/freeze.rs).
  Decides        Nothing.

  KEYS  1 freeze  hash
        2 audit   list

  ARGV  1 since   Unix ms of the freeze that is meant, or empty: whichever there is
        2 by      who
        3 reason  in words

  Reply the fields of the freeze that ended, as a flat list | {} there is none, or a newer one

  Safe to repeat: yes; the second call finds none.
  Cost: O(1). ]]

local since = redis.call('HGET', KEYS[1], 'since_ms')
if not since or (ARGV[1] ~= '' and ARGV[1] ~= since) then return {} end
local had = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
local t = redis.call('TIME')
audit_line(KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000), 'thawed', ARGV[2], ARGV[3])
return had
