--[[ archive.lua: takes an ended job out of Redis, whose record lies in the bucket by now.

  Why a script   Record, timeline, indexes and the ways that lead to the job go, and its tombstone comes, in
                 one instant: between plain commands a crash leaves an index that offers nothing, or an
                 equal request that is bought again because nobody knows the first one.
  Caller         Store::leave (src/archive.rs), after the record was written to the bucket and read back.
  Decides        Nothing: Rust knows that the job may leave; this checks that it is still the same.

  KEYS  1 job       hash  the record
        2 timeline  list
        3…          named by index in ARGV 1

  ARGV  1 facts  JSON:
            id; rev, hint (revision, and task that a callback named or empty, that lie in the bucket)
            tomb    {key, field, text}: what stays
            still   list of {command, key, arguments}: reads that must find nothing, or somebody works on it
            fp      {key, tomb key, field}: the way from its request
            idem    {key, tomb key, field}: the way from its caller's key; absent: it has none
            owners  key of the owners; tasks: list of {task, tomb key, field}, or of {task} where nobody
                    asks for the task any more
            index   list of {key, member}
            sums    list of {key, field}: what the counters hold of archived jobs

  Reply {"left"} | {"before"}   it has left before
        {"stale", revision}     somebody committed, or left a hint: what lies in the bucket is old
        {"busy"} | {"gone"}

  Safe to repeat: the second call says so.
  Cost: O(log n) per index, n being its length; about 25 writes. ]]

local f = cjson.decode(ARGV[1])
local rev = redis.call('HGET', KEYS[1], 'rev')
if not rev then
  if redis.call('HEXISTS', KEYS[f.tomb[1]], f.tomb[2]) == 1 then return {'before'} end
  return {'gone'}
end
if rev ~= f.rev or (redis.call('HGET', KEYS[1], 'hint') or '') ~= f.hint then return {'stale', rev} end
for _, still in ipairs(f.still) do
  if redis.call(still[1], KEYS[still[2]], unpack(still[3])) then return {'busy'} end
end
local short = f.id:sub(5)
local keeps = {f.tomb}
-- What leads to the job and to no other.
local function way(key, tomb, field, text)
  redis.call('DEL', KEYS[key])
  keeps[#keeps + 1] = {tomb, field, text}
end

-- First all that frees memory: a server that has none left refuses a script only at its first write.
redis.call('DEL', KEYS[1], KEYS[2])
for _, at in ipairs(f.index) do redis.call('ZREM', KEYS[at[1]], at[2]) end
if redis.call('GET', KEYS[f.fp[1]]) == f.id then way(f.fp[1], f.fp[2], f.fp[3], short) end
if f.idem then
  local id, body = (redis.call('GET', KEYS[f.idem[1]]) or ''):match('^(%S+) (%S+)$')
  if id == f.id then way(f.idem[1], f.idem[2], f.idem[3], short .. body:sub(1, 32)) end
end
for _, task in ipairs(f.tasks) do
  if redis.call('HGET', KEYS[f.owners], task[1]) == f.id then
    redis.call('HDEL', KEYS[f.owners], task[1])
    if task[2] then keeps[#keeps + 1] = {task[2], task[3], short} end
  end
end
for _, keep in ipairs(keeps) do redis.call('HSET', KEYS[keep[1]], keep[2], keep[3]) end
for _, sum in ipairs(f.sums) do redis.call('HINCRBY', KEYS[sum[1]], sum[2], 1) end
return {'left'}
