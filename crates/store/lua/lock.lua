--[[ lock.lua: one process does this for all, for a while.

  Why a script   The holder prolongs only what is still its own.
  Caller         Store::lock and Store::unlock (src/lock.rs). What it guards must be harmless when done
                 twice: a paused holder learns late that its time is over.
  Decides        Nothing.

  KEYS  1 lock  string  token of the holder

  ARGV  1 token  the caller's
        2 ms     from now until it lapses; 0: let go

  Reply 1 the caller holds it, or has let it go | 0 somebody else does

  Safe to repeat: yes.
  Cost: O(1). ]]

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
