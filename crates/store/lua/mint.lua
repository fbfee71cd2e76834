--[[ mint.lua: writes down a new API key, and sets the end of the one it takes over from.

  Why a script   Of two keys that overlap the older one must get its end together with the younger one's
                 birth: a crash in between would leave two keys that live for ever.
  Caller         FleetStore::mint and FleetStore::rotate (src/fleet/api_keys.rs).
  Decides        Nothing: names, scopes and ends were judged before.

  KEYS  1 key    hash  the new key, absent
        2 index  zset  every key's id by creation time, Unix ms
        3 old    hash  the key it takes over from; absent: none

  ARGV  1 id       of the new key
        2 spec     JSON, never read here
        3 ends     Unix ms, or empty: it has no end
        4 overlap  ms for which both keys live
        5 kept     ms for which a key is remembered after its end
        6 most     keys there may be

  Reply {"ok", now ms, end of the old key in Unix ms or 0}
        {"gone"}        there is no such old key
        {"ended", why}  the old key has an end by rotation or revocation already: nothing written
        {"full"}        there are too many keys: nothing written

  Safe to repeat: the second call finds the first one's key and answers as it did.
  Cost: O(log n), n being the number of keys. ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local kept = tonumber(ARGV[5])

local function set_end(key, at, why)
  redis.call('HSET', key, 'ends', string.format('%.0f', at), 'why', why)
  redis.call('PEXPIREAT', key, string.format('%.0f', at + kept))
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  return {'ok', now, KEYS[3] and tonumber(redis.call('HGET', KEYS[3], 'ends') or 0) or 0}
end
local old_end = 0
if KEYS[3] then
  local old = redis.call('HMGET', KEYS[3], 'spec', 'ends', 'why')
  if not old[1] then return {'gone'} end
  local ends = tonumber(old[2] or 0)
  if old[3] == 'rotated' or old[3] == 'revoked' then return {'ended', old[3]} end
  if ends > 0 and ends <= now then return {'ended', old[3] or ''} end
  old_end = now + tonumber(ARGV[4])
  -- An earlier end of its own stands.
  if ends > 0 and ends < old_end then old_end = ends end
elseif redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[6]) then
  return {'full'}
end

redis.call('HSET', KEYS[1], 'spec', ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
if ARGV[3] ~= '' then set_end(KEYS[1], tonumber(ARGV[3]), 'expires') end
if KEYS[3] then set_end(KEYS[3], old_end, 'rotated') end
return {'ok', now, old_end}
