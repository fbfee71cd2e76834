--[[ hook.lua: creates, changes, switches on or removes one endpoint.

  Why a script   Two people may change an endpoint at once; and from the instant one exists, the place in the
                 stream is kept for it.
  Caller         Store::put_endpoint, enable_endpoint, drop_endpoint and rest_endpoint (src/hooks/endpoint.rs).
  Decides        Nothing.

  KEYS  1 hook     hash    the endpoint: config (JSON), rev, off, tries, next, why
        2 of       zset    endpoints of the tenant by creation time, Unix ms
        3 read     string  place in the stream
        4 events   stream
        5 outbox   list    entries
        6 log      stream  deliveries
        7 due      zset    8 lease zset    9 holder hash    10 wake list    11 pending zset
        12 changes string  counts changes of endpoints

  ARGV  1 facts  JSON: verb ("put", "on", "off", "drop"; "rest": drop where nothing waits to be told), id, rev (the
                 revision the caller read; 0: it is new), at, max (endpoints of one tenant), kept_ms (how long the
                 outbox of one that is off stays)
        2 config JSON, never read here

  Reply {"ok", revision} | {"stale", revision} | {"full"} | {"gone"}

  Safe to repeat: a repeated put is answered "stale" with the revision it made.
  Cost: O(log n). ]]

local f = cjson.decode(ARGV[1])
local rev = tonumber(redis.call('HGET', KEYS[1], 'rev') or 0)
if f.verb == 'put' then
  if rev ~= f.rev then return {'stale', rev} end
  if rev == 0 and redis.call('ZCARD', KEYS[2]) >= f.max then return {'full'} end
  if rev == 0 then
    local newest = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)
    redis.call('SET', KEYS[3], newest[1] and newest[1][1] or '0-0', 'NX')
    redis.call('ZADD', KEYS[2], f.at, f.id)
  end
  redis.call('HSET', KEYS[1], 'config', ARGV[2], 'rev', rev + 1)
elseif rev == 0 then
  return {'gone'}
elseif f.verb == 'rest' and redis.call('LLEN', KEYS[5]) > 0 then
  return {'stale', rev}
elseif f.verb == 'on' then
  redis.call('HDEL', KEYS[1], 'off', 'tries', 'next', 'why')
  redis.call('HSET', KEYS[1], 'rev', rev + 1)
  redis.call('PERSIST', KEYS[5])
  local head = redis.call('LINDEX', KEYS[5], 0)
  if head and not redis.call('ZSCORE', KEYS[8], f.id) then
    local t = redis.call('TIME')
    redis.call('ZADD', KEYS[7], t[1] * 1000, f.id)
    redis.call('ZADD', KEYS[11], cjson.decode(head).at, f.id)
    if redis.call('LLEN', KEYS[10]) == 0 then redis.call('LPUSH', KEYS[10], '1') end
  end
elseif f.verb == 'off' then
  redis.call('HSET', KEYS[1], 'off', cjson.encode({at = f.at, why = 'asked'}), 'rev', rev + 1)
  redis.call('PEXPIRE', KEYS[5], f.kept_ms)
  redis.call('ZREM', KEYS[11], f.id)
else
  redis.call('DEL', KEYS[1], KEYS[5], KEYS[6])
  for _, set in ipairs({2, 7, 8, 11}) do redis.call('ZREM', KEYS[set], f.id) end
  redis.call('HDEL', KEYS[9], f.id)
end
redis.call('INCR', KEYS[12])
return {'ok', rev + 1}
