--[[ renew.lua: extends leases of one queue.

  Why a script   A lease may be extended only by the claim that holds it, and a plain ZADD does not look.
  Caller         Store::renew (src/lease.rs), from each worker's renewer.
  Decides        Nothing.

  KEYS  1 lease   zset  job id by end of lease, Unix ms
        2 holder  hash  job id to claim fence

  ARGV  1 lease_ms  from now
        2…          pairs of job id and fence, at most 500

  Reply the ids whose ticket is no longer the caller's

  Safe to repeat: yes.
  Cost: O(n log m). ]]

local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
local lost = {}
for i = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZADD', KEYS[1], 'XX', till, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
