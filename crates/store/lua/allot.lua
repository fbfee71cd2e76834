--[[ allot.lua: a share of what a tenant may use of something in a day.

  Why a script   Two gateways that both read the last free bytes would both take them.
  Caller         Store::allot_media (src/usage.rs), before inline media go to the bucket.
  Decides        Nothing: the cap is the configuration's.

  KEYS  1 usage  hash  <UTC day>|media

  ARGV  1 n     wanted
        2 most  in a day
        3 kept  days that are remembered

  Reply {1, day}  taken
        {0, day}  today's share has no room for it; nothing was taken

  Safe to repeat: a repeat takes twice, never too little. Cost: O(1). ]]

local t = redis.call('TIME')
local day = day_of(t[1] * 1000)
local had = tonumber(redis.call('HGET', KEYS[1], day .. '|media') or 0)
if had + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return {0, day} end
count_day(KEYS[1], day, tonumber(ARGV[3]), 'media', ARGV[1])
return {1, day}
