--[[ rate.lua: counts a tenant's requests in a window that slides, over all gateways.

  Why a script   Two gateways that both read the last free request would both let it in.
  Caller         FleetStore::request (src/fleet/rate.rs), once per request of a tenant that has a limit.
  Decides        Nothing: quota and window are the configuration's. The window before counts by the share
                 of it that the sliding window still covers, so no minute holds twice the quota.

  KEYS  1 rate  hash  `at` number of the window, `n` requests in it, `before` those in the one before

  ARGV  1 quota   requests per window
        2 window  ms

  Reply {1, requests left, ms until the window ends}    counted
        {0, ms until one more fits, ms until the window ends}   not counted

  Safe to repeat: a repeat counts twice, never too little. Cost: O(1). ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local quota, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = math.floor(now / window)
local had = redis.call('HMGET', KEYS[1], 'at', 'n', 'before')
local n, before = tonumber(had[2] or 0), tonumber(had[3] or 0)
local behind = at - tonumber(had[1] or at)
-- Also for a clock that was set back: what was counted stands for this window.
if behind == 1 then
  before, n = n, 0
elseif behind > 1 then
  before, n = 0, 0
end
local left = window - now % window
local counted = before * left / window + n
if counted + 1 > quota then
  local wait = left
  -- Only the window before stands in the way: its weight falls as time goes.
  if n + 1 <= quota and before > 0 then wait = math.ceil((counted + 1 - quota) * window / before) end
  return {0, math.max(math.min(wait, left), 1), left}
end
redis.call('HSET', KEYS[1], 'at', at, 'n', n + 1, 'before', before)
redis.call('PEXPIRE', KEYS[1], 2 * window)
return {1, math.max(math.floor(quota - counted - 1), 0), left}
