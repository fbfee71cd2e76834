--[[ raise.lua: puts a newer version of the record in force, if every live process reads it.

  Why a script   A process that enters between a look at the others and the raise would meet records that it
                 cannot read.
  Caller         FleetStore::raise_schema (src/fleet/schema.rs), for a person.
  Decides        Nothing: what a process reads is compared with what is asked for.

  KEYS  1 schema   hash  floor: the version in force; at, by, reason: of the last raise
        2 workers  zset  process by the instant of its last beat, Unix ms
        3 about    hash  process to what it is, JSON

  ARGV  1 to      the version asked for
        2 kept    ms after which a process that has fallen silent counts no more
        3 by      who
        4 reason  in words

  Reply {"ok", version before, or 0}
        {"already", version in force}   it is as new, or newer: nothing written
        {"held", names of live processes that do not read it…}   nothing written

  Safe to repeat: the second call finds the version in force.
  Cost: O(n), n being the processes. ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local to = tonumber(ARGV[1])
local floor = tonumber(redis.call('HGET', KEYS[1], 'floor') or 0)
if floor >= to then return {'already', floor} end

local held = {'held'}
local after = string.format('(%.0f', now - tonumber(ARGV[2]))
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], after, '+inf', 'BYSCORE')) do
  -- Of what cannot be read nothing is known, so it counts as too old.
  local ok, about = pcall(cjson.decode, redis.call('HGET', KEYS[3], name) or '')
  local reads = ok and type(about) == 'table' and tonumber(about.newest) or 0
  if reads < to then held[#held + 1] = name end
end
if #held > 1 then return held end

redis.call('HSET', KEYS[1], 'floor', to, 'at', string.format('%.0f', now), 'by', ARGV[3], 'reason', ARGV[4])
return {'ok', floor}
