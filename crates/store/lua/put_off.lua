--[[ put_off.lua: puts many tickets of one queue down for their next run, where nothing else is written.

  Why a script   Leaving the lease and coming back to the queue are one step, for the holder only.
  Caller         Store::put_off (src/put_off.rs): looks that found what the records say already, as many as came
                 while the call before was under way. A fleet that tends very many tasks does hardly anything else.
  Decides        Nothing.

  KEYS  1 lease   zset  job id by end of lease, Unix ms
        2 holder  hash  job id to claim fence
        3 due     zset  job id by when it is due, Unix ms; a queue without lanes
        4 wake    list
        5…        job   hash  field `nudged`; in the order of ARGV 1

  ARGV  1 jobs  JSON: [[id, fence, due at], …], Unix ms

  Reply for each job 1: it is due then, or at once where somebody asked for it meanwhile; 0: it was not the
        caller's any more, and nothing of it changed

  Safe to repeat: the second call is answered 0 and changes nothing.
  Cost: O(n log m) for n jobs of a queue of m; three writes, and one more for each job. ]]

local jobs = cjson.decode(ARGV[1])
local ids = {}
for i, job in ipairs(jobs) do ids[i] = job[1] end
local holders = redis.call('HMGET', KEYS[2], unpack(ids))
local done, ours, mine = {}, {}, {}
for i, job in ipairs(jobs) do
  local held = holders[i] == job[2]
  done[i] = held and 1 or 0
  if held then
    ours[#ours + 1] = job[1]
    mine[#mine + 1] = i
  end
end
if #ours == 0 then return done end
redis.call('ZREM', KEYS[1], unpack(ours))
redis.call('HDEL', KEYS[2], unpack(ours))
local now, soon, scores = math.floor(now_us() / 1000), false, {}
for n, i in ipairs(mine) do
  local nudged = redis.call('HDEL', KEYS[4 + i], 'nudged') == 1
  local at = nudged and now or jobs[i][3]
  soon = soon or at <= now
  scores[2 * n - 1] = string.format('%.0f', at)
  scores[2 * n] = ours[n]
end
redis.call('ZADD', KEYS[3], unpack(scores))
if soon then wake(4) end
return done
