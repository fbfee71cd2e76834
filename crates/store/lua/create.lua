--[[ create.lua: admits one job, or brings one back, or says which job it already is.

  Why a script   The idempotency key, the fingerprint, the record and its ticket appear together. Between
                 plain commands a crash leaves a key that points at nothing, or a job no queue knows;
                 and two callers with the same request would both look before either writes.
  Caller         Store::admit and Store::restore (src/admit.rs), many calls in one pipeline.
  Decides        Nothing. Rust wrote the record and everything that follows from it.

  KEYS  1 job          hash    the record, absent
        2 fingerprint  string  job id
        3…             named by index in ARGV 1: idempotency key, ticket keys, indexes, counters, timeline

  ARGV  1 facts  JSON: id, st (state word, opaque), by (token), idem (key index) and body (SHA-256) when
                 the caller sent a key, to (ticket: due, wake, at, lanes, tenant; absent: none), moves,
                 tasks, own (key of the owners; task ids the job answers for), known {lsn, run, freeze,
                 audit, floor, stamp, by}: the highest lsn the caller was told
                 cap {counts, words, queued_max, spend_max}: what the tenant may have waiting, in these
                 states, and may spend in the day of `use`; 0: no cap. use {usage, day, kept, micros}
        2 spec   JSON, never read here
        3 life   JSON, never read here

  Reply {"created", lsn, stamp}
        {"existing", "key" | "fingerprint", job id}  nothing new; a fresh key now points there too
        {"reused", job id}                           the key came with another body: nothing written
        {"owned", task, job id}                      the task is another job's: nothing written
        {"full", waiting}                            the tenant has so many waiting: nothing written
        {"spent", micros}                            the tenant's day has no room: nothing written

  Safe to repeat: the second call finds the first one's key and answers its job id.
  Cost: O(log n) per index, n being its length; about 14 writes. ]]

local f = cjson.decode(ARGV[1])
local now = math.floor(now_us() / 1000)
forgot(f.known, now)
if f.idem then
  local had = redis.call('GET', KEYS[f.idem])
  if had then
    local id, body = had:match('^(%S+) (%S+)$')
    if body == f.body then return {'existing', 'key', id} end
    return {'reused', id}
  end
end
local twin = redis.call('EXISTS', KEYS[1]) == 1 and f.id or redis.call('GET', KEYS[2])
if twin then
  if f.idem then redis.call('SET', KEYS[f.idem], twin .. ' ' .. f.body) end
  return {'existing', 'fingerprint', twin}
end

for _, task in ipairs(f.own) do
  local owner = redis.call('HGET', KEYS[f.tasks], task)
  if owner and owner ~= f.id then return {'owned', task, owner} end
end

local cap, use = f.cap, f.use
if cap and cap.queued_max > 0 then
  local waiting = 0
  for _, n in ipairs(redis.call('HMGET', KEYS[cap.counts], unpack(cap.words))) do
    waiting = waiting + math.max(tonumber(n or 0), 0)
  end
  if waiting >= cap.queued_max then return {'full', waiting} end
end
if cap and cap.spend_max > 0 then
  local spent = math.max(tonumber(redis.call('HGET', KEYS[use.usage], use.day .. '|micros') or 0), 0)
  if spent + tonumber(use.micros) > cap.spend_max then return {'spent', string.format('%.0f', spent)} end
end

redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'life', ARGV[3], 'st', f.st, 'rev', 1, 'by', f.by)
redis.call('SET', KEYS[2], f.id)
if f.idem then redis.call('SET', KEYS[f.idem], f.id .. ' ' .. f.body) end
if f.to then put_down(f.to, f.id, f.to.at, now) end
if use.micros ~= '0' then count_day(KEYS[use.usage], use.day, use.kept, 'micros', use.micros) end
apply(f.moves)
return {'created', redis.call('INCR', KEYS[f.known.lsn]), run_stamp()}
