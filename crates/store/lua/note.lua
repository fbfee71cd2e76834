--[[ note.lua: something that an account's provider has shown, once or several times.

  Why a script   The day is the server's, and old days go with the first note of a new one.
  Caller         Store::note_echoes, note_lag and note_callback (src/evidence.rs).
  Decides        Nothing: what it proves is judged by its readers.

  KEYS  1 evidence  hash  <UTC day>|<what>

  ARGV  1 what   the counter
        2 n      how often
        3 top    the field of the largest value, or empty
        4 value  compared with it

  Reply 1

  Safe to repeat: no; a lost reply may count one thing twice, which is why a bad sign is never one that
  repeating makes good.
  Cost: O(1). ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
count_today(KEYS[1], now, ARGV[1], ARGV[2])
if ARGV[3] ~= '' then
  local field = day_of(now) .. '|' .. ARGV[3]
  if tonumber(ARGV[4]) > tonumber(redis.call('HGET', KEYS[1], field) or -1) then
    redis.call('HSET', KEYS[1], field, ARGV[4])
  end
end
return 1
