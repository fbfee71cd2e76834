--[[ unlist.lua: a purse that holds no job any more leaves the list of those that do.

  Why a script   Between a look at its jobs and the removal a job may come, and nobody would look for it again.
  Caller         Store::purse_seen (src/budget.rs).
  Decides        Nothing.

  KEYS  1 list   zset  purses that hold jobs, by the last look (Unix ms)
        2 jobs   zset  jobs that this one holds

  ARGV  1 member  the purse, as the list spells it

  Reply 1 it is gone | 0 it holds jobs, and stands behind the others from here on

  Safe to repeat: yes.
  Cost: O(log n). ]]

if redis.call('ZCARD', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 1
end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
return 0
