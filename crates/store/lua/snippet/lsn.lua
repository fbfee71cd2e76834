--[[ snippet/lsn.lua: does the server still know all that it acknowledged? Shared by create, commit and freeze.

  Why a snippet  Every write carries the highest `lsn` its process was ever told; two ways to compare it
                 would be two alarms, and the one that is missed buys a second video. After snippets audit and run.
  Decides        Nothing: a lower count than an acknowledged one is proof of loss, not a judgment. ]]

-- Farther than any process can have counted before it tells us what it has seen.
local LSN_STEP = 1000000000

-- k: freeze, audit = key indexes
local function set_freeze(k, now, kind, why, by, seen)
  -- What a person stopped, only a person lets go.
  if redis.call('HGET', KEYS[k.freeze], 'kind') == 'asked' then kind = 'asked' end
  redis.call('HSET', KEYS[k.freeze], 'since_ms', now, 'kind', kind, 'why', why, 'by', by,
    'seen', string.format('%.0f', seen))
  audit_line(KEYS[k.audit], now, 'frozen', by, why)
end

-- k: lsn, run, freeze, audit = key indexes; floor = the highest count the caller was told, in the run of
-- that stamp; by = the caller. A floor of an earlier run is compared with the count this run began with:
-- what others committed since would hide a loss. After one the count moves past whatever anybody was told,
-- so that the next loss shows again at once and nobody mistakes this one for another.
local function forgot(k, now)
  local lsn, floor = tonumber(redis.call('GET', KEYS[k.lsn]) or 0), tonumber(k.floor)
  local stamp, run = run_stamp(), redis.call('HMGET', KEYS[k.run], 'stamp', 'lsn')
  local base = tonumber(run[2] or 0)
  if tonumber(run[1] or -1) ~= stamp then
    base = lsn
    redis.call('HSET', KEYS[k.run], 'stamp', string.format('%.0f', stamp), 'lsn', string.format('%.0f', base))
  end
  if tonumber(k.stamp) == stamp then base = lsn end
  if base >= floor then return false end
  local why = string.format('the server counted %.0f commits and had acknowledged %.0f: it lost data', base, floor)
  set_freeze(k, now, 'rollback', why, k.by, floor)
  local past = string.format('%.0f', math.max(lsn, floor) + LSN_STEP)
  redis.call('SET', KEYS[k.lsn], past)
  redis.call('HSET', KEYS[k.run], 'lsn', past)
  return true
end
