--[[ hint.lua: a callback spoke of this job: look at it now.

  Why a script   The ticket lies in one of two queues, due or lent, and may move between two looks.
  Caller         Store::hint (src/hint.rs), from the gateway's callback door.
  Decides        Nothing, and writes no state: the authenticated read that follows is the truth.

  KEYS  1 job    hash
        2 due    zset  settle    3 lease  zset    4 wake  list
        5 due    zset  poll      6 lease  zset    7 wake  list

  ARGV  1 id    job id
        2 hint  task id the callback named, or empty
        3 st    state word of a job without a ticket that shall get one to settle; or empty
        4 rev   revision that the caller saw, where the hint is news for that one only; or empty

  Reply {state word, "due" | "nudged" | "noted"}   the ticket is due now | will be | there is none
        {state word, "moved"}   the job has another revision: nothing done
        {} no such job

  Safe to repeat: yes; a ticket that is due now stays due now.
  Cost: O(log n). ]]

local word = redis.call('HGET', KEYS[1], 'st')
if not word then return {} end
if ARGV[4] ~= '' and redis.call('HGET', KEYS[1], 'rev') ~= ARGV[4] then return {word, 'moved'} end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'hint', ARGV[2]) end
local now = math.floor(now_us() / 1000)
for k = 2, 5, 3 do
  if redis.call('ZSCORE', KEYS[k + 1], ARGV[1]) then
    redis.call('HSET', KEYS[1], 'nudged', 1)
    return {word, 'nudged'}
  end
  local at = redis.call('ZSCORE', KEYS[k], ARGV[1])
  if at then
    if tonumber(at) > now then
      redis.call('ZADD', KEYS[k], now, ARGV[1])
      wake(k + 2)
    end
    return {word, 'due'}
  end
end
if ARGV[3] == word then
  -- Proof of a paid task may come when nobody looks any more: one look, then.
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  wake(4)
  return {word, 'due'}
end
return {word, 'noted'}
