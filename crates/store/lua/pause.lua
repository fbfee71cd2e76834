--[[ pause.lua: a person pauses something of a pool, or lets it go on.

  Why a script   What has ended is dropped with the next pause, and must not take along one that was just made anew.
  Caller         Store::pause and Store::resume (src/pauses.rs).
  Decides        Nothing.

  KEYS  1 pauses  hash  scope to end (Unix ms; 0: until it is resumed) and who, when, why (JSON)
        2 audit   list

  ARGV  1 scope
        2 for     ms; 0: until it is resumed; empty: it goes on
        3 what    JSON: by, reason
        4 by      who
        5 reason  in words, with the scope
        6 most    pauses at a time

  Reply {1, now ms}  done | {0, now ms}  nothing was paused so, or there are too many

  Safe to repeat: a repeated pause begins anew.
  Cost: O(pauses), which ARGV 6 bounds. ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local all, left = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  local till = tonumber(all[i + 1]:match('^(%d+) ') or 1)
  if till ~= 0 and till <= now then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then
    left = left + 1
  end
end
if ARGV[2] == '' then
  if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return {0, now} end
  audit_line(KEYS[2], now, 'resumed', ARGV[4], ARGV[5])
  return {1, now}
end
if left >= tonumber(ARGV[6]) then return {0, now} end
local till = ARGV[2] == '0' and 0 or now + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', till, ARGV[3]))
audit_line(KEYS[2], now, 'paused', ARGV[4], ARGV[5])
return {1, now}
