--[[ recall.lua: brings a job back from the bucket into Redis, because something about it is to change.

  Why a script   As for archive.lua: record, indexes and ways come, and the tombstone goes, in one instant.
  Caller         Store::recall (src/archive.rs).
  Decides        Nothing.

  KEYS  1 job       hash  the record
        2 timeline  list
        3…          named by index in ARGV 1

  ARGV  1 facts  JSON:
            id, st (state word, opaque), rev (the record's next revision), hint (task that a callback named,
                    or empty), by (token)
            tomb    {key, field, text}: as the caller saw it
            fp      {key, tomb key, field}; idem {key, tomb key, field, text}: absent: it has none
            custom  its caller's key, or empty
            owners  key of the owners; tasks: list of {task, tomb key, field}
            index   list of {key, score, member}
            sums    list of {key, field}: what the counters hold of archived jobs
            leaving, from   key of the places to be put in order; the place that it comes back from
            line    of the timeline
        2 spec  JSON, never read here
        3 life  JSON, never read here
        4…      the timeline, newest first

  Reply {"back"} | {"there"}   it is in Redis | {"moved"}   the tombstone is another one | {"gone"}   there is none

  Safe to repeat: the second call finds it there.
  Cost: O(log n) per index, n being its length, and O(lines), at most 200. ]]

local f = cjson.decode(ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return {'there'} end
local text = redis.call('HGET', KEYS[f.tomb[1]], f.tomb[2])
if not text then return {'gone'} end
if text ~= f.tomb[3] then return {'moved'} end
-- The first write is one that a server without memory refuses: whole or not at all.
redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'life', ARGV[3], 'st', f.st, 'rev', f.rev, 'by', f.by)
redis.call('HDEL', KEYS[f.tomb[1]], f.tomb[2])
redis.call('HSET', KEYS[1], 'left', f.from)
if f.hint ~= '' then redis.call('HSET', KEYS[1], 'hint', f.hint) end
if f.custom ~= '' then redis.call('HSET', KEYS[1], 'idem', f.custom) end
for n = 4, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[n]) end
redis.call('LPUSH', KEYS[2], f.line)
-- What lies there is old from here on. It goes later: until this write is on a disk, it is all there is.
redis.call('ZADD', KEYS[f.leaving], math.floor(now_us() / 1000), f.from)
local short = f.id:sub(5)
if redis.call('HGET', KEYS[f.fp[2]], f.fp[3]) == short then
  redis.call('HDEL', KEYS[f.fp[2]], f.fp[3])
  redis.call('SET', KEYS[f.fp[1]], f.id)
end
if f.idem and (redis.call('HGET', KEYS[f.idem[2]], f.idem[3]) or ''):sub(1, 26) == short then
  redis.call('HDEL', KEYS[f.idem[2]], f.idem[3])
  redis.call('SET', KEYS[f.idem[1]], f.idem[4])
end
for _, task in ipairs(f.tasks) do
  redis.call('HDEL', KEYS[task[2]], task[3])
  redis.call('HSETNX', KEYS[f.owners], task[1], f.id)
end
for _, at in ipairs(f.index) do redis.call('ZADD', KEYS[at[1]], at[2], at[3]) end
for _, sum in ipairs(f.sums) do redis.call('HINCRBY', KEYS[sum[1]], sum[2], -1) end
return {'back'}
