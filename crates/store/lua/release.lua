--[[ release.lua: hands one ticket back without a commit, or drops it.

  Why a script   Leaving the lease and coming back to the queue are one step, for the holder only.
  Caller         Store::release and Store::report (src/lease.rs): drain, refused guard, late news.
  Decides        Nothing.

  KEYS  1 job     hash  field `nudged`
        2 lease   zset  job id by end of lease, Unix ms
        3 holder  hash  job id to claim fence
        4…        named by index in ARGV 1

  ARGV  1 facts  JSON: id, fence, delay (ms), offers (submit only), to {due, wake, lanes, tenant}; without
                 `to` it is dropped

  Reply "released" | "fenced"

  Safe to repeat: the second call is answered "fenced" and changes nothing.
  Cost: O(log n). ]]

local f = cjson.decode(ARGV[1])
if redis.call('HGET', KEYS[3], f.id) ~= f.fence then return 'fenced' end
redis.call('ZREM', KEYS[2], f.id)
redis.call('HDEL', KEYS[3], f.id)
if f.offers then redis.call('HDEL', KEYS[f.offers], f.id) end
local nudged = redis.call('HDEL', KEYS[1], 'nudged') == 1
if f.to then
  local now = math.floor(now_us() / 1000)
  put_down(f.to, f.id, nudged and now or now + f.delay, now)
end
return 'released'
