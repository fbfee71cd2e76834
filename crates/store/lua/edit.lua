--[[ edit.lua: changes what was asked beside the request (priority, useful_until) of a job that waits.

  Why a script   Record, ticket and timeline change together, and only if nobody has committed since: between plain
                 commands a crash leaves a ticket in a lane that the record does not name, or lets a submitter that
                 has just taken the ticket begin by what was said before.
  Caller         Store::edit_waiting (src/edit.rs), after it has seen that the job waits.
  Decides        Nothing: the new record comes from Rust.

  KEYS  1 job   hash  the record
        2…      named by index in ARGV 1

  ARGV  1 facts  JSON:
            id, rev (revision the caller saw), by (token)
            from    key of the lane where the ticket lies; absent: the job has no ticket
            to      {due, wake, lanes, tenant}: where it lies from here on
            moves   plain writes
        2 spec   JSON, never read here

  Reply {"edited"} | {"stale"}  somebody committed: look again | {"busy"}  a submitter has the ticket: it is about to begin
        {"gone"}

  Safe to repeat: the token tells a repeated call, and its caller finds the record as it wanted it.
  Cost: O(log n), n being the jobs of the lane. ]]

local f = cjson.decode(ARGV[1])
local had = redis.call('HMGET', KEYS[1], 'rev', 'by')
if not had[1] then return {'gone'} end
if had[2] == f.by then return {'edited'} end
if had[1] ~= f.rev then return {'stale'} end
local due = f.from and redis.call('ZSCORE', KEYS[f.from], f.id)
if f.from and not due then return {'busy'} end
-- The first write is one that a server without memory refuses: whole or not at all.
redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'rev', tonumber(had[1]) + 1, 'by', f.by)
if f.from and f.from ~= f.to.due then
  redis.call('ZREM', KEYS[f.from], f.id)
  put_down(f.to, f.id, tonumber(due), math.floor(now_us() / 1000))
end
apply(f.moves)
return {'edited'}
