--[[ slow.lua: takes something away from a row of creates after a refusal.

  Why a script   Two refusals of one fault would both take away: only who saw the row as it is may write.
  Caller         Store::slow (src/limits.rs), for the limiter.
  Decides        Nothing: how much, and how it comes back, was decided on what was seen.

  KEYS  1 pace  hash  fields rate, ramp, depth: see snippet/pace.lua

  ARGV  1 field
        2 seen   what it held, or empty
        3 value  what it holds from here on

  Reply 1 written | 0 somebody was faster: look again

  Safe to repeat: yes; the second call finds what the first one wrote.
  Cost: O(1). ]]

if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
