--[[ freeze.lua: no attempt begins from here on.

  Why a script   A count read by one call and a freeze set by the next could meet a thaw in between.
  Caller         Store::watch and Store::freeze (src/freeze.rs).
  Decides        Nothing: a rollback is checked again here, a person's wish is taken.

  KEYS  1 lsn     string
        2 freeze  hash
        3 audit   list
        4 run     hash

  ARGV  1 floor  the highest lsn the caller was told, or empty: a person asks
        2 by     who
        3 why    in words; read only when a person asks
        4 stamp  of the run in which the caller was told

  Reply 1 frozen by this call | 0 nothing was lost

  Safe to repeat: yes; a person's repeated wish moves its date.
  Cost: O(1). ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local k = {lsn = 1, freeze = 2, audit = 3, run = 4, floor = ARGV[1], by = ARGV[2], stamp = ARGV[4]}
if ARGV[1] ~= '' then return forgot(k, now) and 1 or 0 end
set_freeze(k, now, 'asked', ARGV[3], ARGV[2], tonumber(redis.call('GET', KEYS[1]) or 0))
return 1
