--[[ create.lua: admits jobs, or brings them back, or says which jobs they already are.

  Why a script   The idempotency key, the fingerprint, the record and its ticket appear together. Between
                 plain commands a crash leaves a key that points at nothing, or a job no queue knows;
                 and two callers with the same request would both look before either writes. Many in one
                 call, since what they share is looked at and written once: the answers, and all that
                 stands afterwards, are those of as many calls with one job each, in the same order.
  Caller         Store::bear (src/birth.rs), for admit, restore and adopt.
  Decides        Nothing. Rust wrote the records and everything that follows from them.

  KEYS  named by index in ARGV 1

  ARGV  1 facts  JSON:
            known  {lsn, run, freeze, audit, floor, stamp, by}: the highest lsn the caller was told
            by     token of the first commit; tasks: key of the owners; lines_max: lines a timeline keeps
            kinds  what jobs have in common: st (state word, opaque), created (ms), to (ticket: due, wake,
                   at, lanes, tenant; absent: none), index (keys of indexes: job by created), count
                   ({key, field}: one more for each), once (writes of which the first one counts),
                   event {key, arguments; the third is to be the job}, line (of the timeline),
                   use {usage, day, kept}, cap {counts, words, queued_max, spend_max}: what the tenant may
                   have waiting, in these states, and may spend in the day of `use`; 0 or absent: no cap
            lent   ms for which a caller's key is remembered that came with another's request
            jobs   {id, kind, job, fp, tl (keys), idem (key), name and body (SHA-256) when the caller sent a key,
                   tombs {fp, idem, own (list)}: {key, field} where archived jobs stand for the same,
                   own (task ids the job answers for), micros, moves (writes of its own)}
        2…     of each job: spec and life, JSON, never read here

  Reply {answers, lsn, stamp}; the lsn and the stamp where any was created. The answers are JSON, one list of
        texts for each job: a reply of many small parts takes its reader longer than the jobs
        ["created"]
        ["existing", "key" | "fingerprint", job id]  nothing new; a fresh key now points there too
        ["reused", job id]                           the key came with another body: nothing written
        ["owned", task, job id]                      the task is another job's: nothing written
        ["full", waiting]                            the tenant has so many waiting: nothing written
        ["spent", micros]                            the tenant's day has no room: nothing written

  Safe to repeat: the second call finds the first one's keys and answers their job ids.
  Cost: O(log n) per job and index, n being its length; 3 writes for each job, about 14 for each kind. ]]

local f = cjson.decode(ARGV[1])
local now = math.floor(now_us() / 1000)
forgot(f.known, now)

-- Nothing is written before the last job is judged: what those before it are about to write is remembered here.
local value, sets, lent, made, owners, words, spent = {}, {}, {}, {}, {}, {}, {}

local function remember(key, text)
  value[key] = text
  sets[#sets + 1] = KEYS[key]
  sets[#sets + 1] = text
end

local function look()
  local at, names, records = {}, {}, {}
  for i, j in ipairs(f.jobs) do
    records[i] = KEYS[j.job]
    at[#at + 1] = j.fp
    if j.idem then at[#at + 1] = j.idem end
  end
  for i, key in ipairs(at) do names[i] = KEYS[key] end
  for i, text in ipairs(redis.call('MGET', unpack(names))) do value[at[i]] = text end
  return redis.call('EXISTS', unpack(records)) > 0
end
local some_exist = look()

-- Jobs of a tenant in the states that a cap counts.
local function waiting(cap)
  local held = words[cap.counts]
  if not held then
    held = {}
    for i, n in ipairs(redis.call('HMGET', KEYS[cap.counts], unpack(cap.words))) do
      held[cap.words[i]] = tonumber(n or 0)
    end
    words[cap.counts] = held
  end
  local sum = 0
  for _, n in pairs(held) do sum = sum + math.max(n, 0) end
  return sum
end

local function of_day(use)
  local day = use.usage .. '|' .. use.day
  if not spent[day] then
    spent[day] = tonumber(redis.call('HGET', KEYS[use.usage], use.day .. '|micros') or 0)
  end
  return day, math.max(spent[day], 0)
end

-- Why a job is not made, or nothing.
local function refusal(j, k)
  local had = j.idem and value[j.idem]
  if had then
    local id, body = had:match('^(%S+) (%S+)$')
    if body == j.body then return {'existing', 'key', id} end
    return {'reused', id}
  end
  if j.idem then
    local id, body = buried(j.tombs.idem)
    if id and body == j.body:sub(1, 32) then return {'existing', 'key', id} end
    if id then return {'reused', id} end
  end
  local there = made[j.id] or some_exist and redis.call('EXISTS', KEYS[j.job]) == 1
  local twin = there and j.id or value[j.fp] or buried(j.tombs.fp)
  if twin then
    if j.idem then
      remember(j.idem, twin .. ' ' .. j.body)
      lent[#lent + 1] = j.idem
    end
    return {'existing', 'fingerprint', twin}
  end
  for n, task in ipairs(j.own) do
    local owner = owners[task] or redis.call('HGET', KEYS[f.tasks], task) or buried(j.tombs.own[n])
    if owner and owner ~= j.id then return {'owned', task, owner} end
  end
  local cap = k.cap
  if cap and cap.queued_max > 0 then
    local n = waiting(cap)
    if n >= cap.queued_max then return {'full', string.format('%.0f', n)} end
  end
  if cap and cap.spend_max > 0 then
    local _, micros = of_day(k.use)
    if micros + tonumber(j.micros) > cap.spend_max then return {'spent', string.format('%.0f', micros)} end
  end
end

local answers, born, kinds = {}, {}, {}
for i, j in ipairs(f.jobs) do
  local k = f.kinds[j.kind]
  answers[i] = refusal(j, k)
  if not answers[i] then
    answers[i] = {'created'}
    born[#born + 1] = i
    if not k.jobs then
      k.jobs, k.micros = {}, 0
      kinds[#kinds + 1] = k
    end
    k.jobs[#k.jobs + 1] = j.id
    k.micros = k.micros + tonumber(j.micros)
    made[j.id] = true
    remember(j.fp, j.id)
    if j.idem then remember(j.idem, j.id .. ' ' .. j.body) end
    for _, task in ipairs(j.own) do owners[task] = j.id end
    local cap = k.cap
    local held = cap and words[cap.counts]
    if held and held[k.st] then held[k.st] = held[k.st] + 1 end
    if cap and cap.spend_max > 0 then
      local day = of_day(k.use)
      spent[day] = spent[day] + tonumber(j.micros)
    end
  end
end

-- From here on nothing is refused: the first write is one that a server without memory refuses, with all the others.
for _, i in ipairs(born) do
  local j = f.jobs[i]
  local st = f.kinds[j.kind].st
  redis.call('HSET', KEYS[j.job], 'spec', ARGV[2 * i], 'life', ARGV[2 * i + 1], 'st', st, 'rev', 1, 'by', f.by)
  if j.idem then redis.call('HSET', KEYS[j.job], 'idem', j.name) end
end
if #sets > 0 then redis.call('MSET', unpack(sets)) end
for _, key in ipairs(lent) do redis.call('PEXPIRE', KEYS[key], f.lent) end
for _, k in ipairs(kinds) do
  if k.to then put_down_all(k.to, k.jobs, k.to.at, now) end
  if k.micros > 0 then
    count_day(KEYS[k.use.usage], k.use.day, k.use.kept, 'micros', string.format('%.0f', k.micros))
  end
  local members = scored(k.created, k.jobs)
  for _, key in ipairs(k.index) do redis.call('ZADD', KEYS[key], unpack(members)) end
  for _, of in ipairs(k.count) do redis.call('HINCRBY', KEYS[of[1]], of[2], #k.jobs) end
  apply(k.once)
end
for _, i in ipairs(born) do
  local j = f.jobs[i]
  local k = f.kinds[j.kind]
  if redis.call('LPUSH', KEYS[j.tl], k.line) > f.lines_max then
    redis.call('LTRIM', KEYS[j.tl], 0, f.lines_max - 1)
  end
  k.event[2][3] = j.id
  redis.call('XADD', KEYS[k.event[1]], unpack(k.event[2]))
  apply(j.moves)
end
local told = cjson.encode(answers)
if #born == 0 then return {told} end
return {told, redis.call('INCRBY', KEYS[f.known.lsn], #born), run_stamp()}
