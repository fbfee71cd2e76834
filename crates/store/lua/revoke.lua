--[[ revoke.lua: ends an API key now.

  Why a script   An end may only come nearer: a revocation that met a rotation must not be undone by it.
  Caller         FleetStore::revoke (src/fleet/api_keys.rs).
  Decides        Nothing.

  KEYS  1 key  hash  spec, ends, why

  ARGV  1 kept  ms for which a key is remembered after its end

  Reply 1 it ends now | 0 it had ended before | -1 there is no such key

  Safe to repeat. Cost: O(1). ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local had = redis.call('HMGET', KEYS[1], 'spec', 'ends')
if not had[1] then return -1 end
if had[2] and tonumber(had[2]) <= now then return 0 end
redis.call('HSET', KEYS[1], 'ends', string.format('%.0f', now), 'why', 'revoked')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', now + tonumber(ARGV[1])))
return 1
