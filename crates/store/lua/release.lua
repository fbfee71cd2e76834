--[[ release.lua: hands one ticket back without a commit, or drops it.

  Why a script   Leaving the lease and coming back to the queue are one step, for the holder only.
  Caller         Store::release and Store::report (src/lease.rs): drain, refused guard, late news.
  Decides        Nothing. A submit ticket that comes back with a pause has used its tenant's turn: the tenant
                 goes behind the next one, as far as a usual job would have put it, and no farther however
                 often that happens. Else a tenant whose bucket is down would stay first in line, and be
                 tried before everybody again and again.

  KEYS  1 job     hash  field `nudged`
        2 lease   zset  job id by end of lease, Unix ms
        3 holder  hash  job id to claim fence
        4…        named by index in ARGV 1

  ARGV  1 facts  JSON: id, fence, delay (ms), offers (submit only), cost (what its turn counts for; absent:
                 nothing), to {due, wake, lanes, tenant}; without `to` it is dropped; asked: only if somebody asked
                 for it meanwhile does it go there, else it is dropped

  Reply "released" | "fenced"

  Safe to repeat: the second call is answered "fenced" and changes nothing.
  Cost: O(log n). ]]

local f = cjson.decode(ARGV[1])
if redis.call('HGET', KEYS[3], f.id) ~= f.fence then return 'fenced' end
redis.call('ZREM', KEYS[2], f.id)
redis.call('HDEL', KEYS[3], f.id)
if f.offers then redis.call('HDEL', KEYS[f.offers], f.id) end
local nudged = redis.call('HDEL', KEYS[1], 'nudged') == 1
if f.to and (nudged or not f.asked) then
  local now = math.floor(now_us() / 1000)
  put_down(f.to, f.id, nudged and now or now + f.delay, now)
  if f.cost then
    local lanes, tenant = KEYS[f.to.lanes], f.to.tenant
    local front = redis.call('ZRANGE', lanes, 0, 1, 'WITHSCORES')
    local other = tonumber(front[1] ~= tenant and front[2] or front[4] or '')
    local own = tonumber(redis.call('ZSCORE', lanes, tenant))
    if other and own < other + f.cost then
      redis.call('ZADD', lanes, math.min(own, other) + f.cost, tenant)
    end
    -- What was kept for it is free, and others may be due.
    wake(f.to.wake)
  end
end
return 'released'
