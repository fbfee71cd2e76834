--[[ reserve.lua: the leave for one more automatic re-send today.

  Why a script   Two settlers that both read the last free one would both send.
  Caller         Store::reserve_resend (src/evidence.rs), before the commit that sends again.
  Decides        Nothing: share and minimum come from the configuration.

  KEYS  1 days  hash  <UTC day>|creates, <UTC day>|resends

  ARGV  1 ratio  of today's creates
        2 min    as many even on a quiet day

  Reply 1 reserved | 0 today's are spent

  Safe to repeat: a lost reply leaves one unused, never one too many.
  Cost: O(1). ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local day = day_of(now)
local had = redis.call('HMGET', KEYS[1], day .. '|creates', day .. '|resends')
local most = math.max(tonumber(ARGV[2]), math.floor(tonumber(had[1] or 0) * tonumber(ARGV[1])))
if tonumber(had[2] or 0) >= most then return 0 end
count_today(KEYS[1], now, 'resends', 1)
return 1
