--[[ beat.lua: a process tells that it lives and what it reads and writes, and hears which version is in force.

  Why a script   Between a look at the version in force and the entry a raise could come that knew nothing of
                 this process: it would work where it cannot read.
  Caller         FleetStore::beat (src/fleet/schema.rs), every few seconds.
  Decides        Nothing: two numbers are compared with a third.

  KEYS  1 schema   hash  floor: the version in force
        2 workers  zset  process by the instant of its last beat, Unix ms
        3 about    hash  process to what it is, JSON

  ARGV  1 name
        2 about   JSON, never read here
        3 oldest  the oldest version it writes
        4 newest  the newest version it reads
        5 kept    ms after which a process that has fallen silent is forgotten

  Reply {"ok", version in force} | {"misfit", version in force}   it is not entered, and is taken out

  Safe to repeat. Cost: O(log n), n being the processes. ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local oldest, newest = tonumber(ARGV[3]), tonumber(ARGV[4])
-- A fleet that never said so begins with the form that the program before can read.
redis.call('HSETNX', KEYS[1], 'floor', oldest)
local floor = tonumber(redis.call('HGET', KEYS[1], 'floor'))
local fits = floor >= oldest and floor <= newest

local gone = redis.call('ZRANGE', KEYS[2], '-inf', now - tonumber(ARGV[5]), 'BYSCORE', 'LIMIT', 0, 100)
if not fits then gone[#gone + 1] = ARGV[1] end
if #gone > 0 then
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[3], unpack(gone))
end
if not fits then return {'misfit', floor} end
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
return {'ok', floor}
