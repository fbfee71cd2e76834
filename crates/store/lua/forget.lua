--[[ forget.lua: writes a request anew without its content, and the timeline without its words.

  Why a script   Request, timeline and the indexes that lead to the content change together, and only if
                 nobody has committed since: between plain commands a crash leaves a request without
                 content that an index still offers, or a line that was written in between is lost.
  Caller         Store::forget (src/erasure.rs), after the machine has marked the job as erased and its
                 objects are gone. Beside edit.lua nothing ever writes a request again. The job is counted in the same
                 instant, so that no crash counts it twice or not at all.
  Decides        Nothing: what is left of request and lines comes from Rust.

  KEYS  1 job       hash  the record
        2 timeline  list
        3 erased    hash  what the erasure has removed so far
        4…          named by index in ARGV 1

  ARGV  1 facts  JSON: rev (revision the caller saw), by (token), lines (the timeline, newest first), moves
        2 spec   JSON, never read here

  Reply {"forgotten", revision} | {"stale", revision}  somebody committed: look again | {"gone"}

  Safe to repeat: the second call is stale, and its caller finds the content gone.
  Cost: O(lines), at most 200, and O(log n) per index. ]]

local f = cjson.decode(ARGV[1])
local rev = redis.call('HGET', KEYS[1], 'rev')
if not rev then return {'gone'} end
if rev ~= f.rev then return {'stale', rev} end
-- Shorter than what it replaces, so a server without memory refuses all of it or nothing.
redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'rev', tonumber(rev) + 1, 'by', f.by)
redis.call('DEL', KEYS[2])
for _, line in ipairs(f.lines) do redis.call('RPUSH', KEYS[2], line) end
apply(f.moves)
redis.call('HINCRBY', KEYS[3], 'jobs', 1)
redis.call('HINCRBY', KEYS[3], 'lines', #f.lines)
return {'forgotten', tonumber(rev) + 1}
