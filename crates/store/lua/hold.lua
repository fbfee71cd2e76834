--[[ hold.lua: no call of one kind on one account before an instant.

  Why a script   Of two holds the longer one stands, whichever is written last.
  Caller         Store::hold_calls (src/grant.rs), for whoever was told off by the provider.
  Decides        Nothing: how long is told by the caller. It ends by itself: rows of instants begin behind it.

  KEYS  1 pace  hash  hold (µs), code

  ARGV  1 until  µs, by the server's clock
        2 code   of the answer that asked for it

  Reply 1 it stands | 0 a longer one does

  Safe to repeat: yes.
  Cost: O(1). ]]

local held = tonumber(redis.call('HGET', KEYS[1], 'hold')) or 0
if held >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'hold', ARGV[1], 'code', ARGV[2])
return 1
