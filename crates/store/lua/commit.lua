--[[ commit.lua: writes one verdict of the state machine, whole or not at all.

  Why a script   The new life, its ticket, the slot, the counters and the indexes must agree at every
                 instant. Between plain commands a crash leaves paid work that no queue knows, or a slot
                 that nobody frees.
  Caller         Store::commit (src/commit.rs), the only writer of a job's life.
  Decides        Nothing. Rust chose the verdict; this checks that it still applies.

  KEYS  1 job  hash  the record
        2…           named by index in ARGV 1

  ARGV  1 facts  JSON:
            id, st (state word, opaque), by (token of this commit), rev (revision the verdict saw)
            kept    ticket and lease stay as they are
            writer  {lease, holder, fence, offers} of the claim; offers: absent where none can be open; absent: a callback or a person
            from    {due, lease, holder, offers} where the job's ticket may lie; absent: it has none
            to      {due, wake, at, lanes, tenant} the new ticket; absent: none
            same    `to` is the queue of `from`
            tasks, own   key of the owners; task ids that must be this job's or nobody's
            tombs   for each of them {key, field}: where its owner stands once that is archived
            begin   {slots, slot, running, lookahead, offers, nonces, nonce, stops, stopped, probe_ms, attempt,
                     pace, interval, calls, horizon, lead, lead_max, counted, lanes, tenant, cost, days, hint, batch, pilot, cap,
                     purses, pauses}: the guard of a new attempt, limits as configured; stopped: names of the stops it minds;
                     pilot: a batch that is paused for its pilot does not hold this job off; absent: it does;
                     counted {window, under_way}, µs: calls of the row are counted; absent: they are not;
                     cap {counts, words, max}: what the tenant may have in flight, absent: no cap; purses: see
                     snippet/purse.lua; what is taken of them is among the moves; pauses {key, fields}: any of these
                     holds the attempt off
            only    {key, field}: written only while the hash has the field
            stop    {stops, name, attempt, until, class, code, in_row}; clear {stops, names, attempt}
            known   {lsn, run, freeze, audit, floor, stamp, by}: the highest lsn the caller was told
            created, list, unlist   its place in the indexes it enters; these, and those it leaves: key indexes
            counts  {key index, field, step}
            moves   other plain writes; wakes: keys of wake lists to leave a token in
        2 life   JSON, never read here

  Reply {"ok", revision, now ms, usable in µs, lsn, stamp}   committed
        {"already", revision, now ms, usable in µs}   this very commit was written before
        {"stale", revision}      someone committed first: reload and decide again
        {"fenced"}               the lease ran out and the ticket moved on: drop the work
        {"gone"}                 no such job; the writer's ticket is gone too
        {"owned", task, job}     the task belongs to another job: nothing written
        {"frozen", why, lsn, stamp}     the server lost data, or a person stopped the pool: nothing begins
        {"stopped", wait ms, class, code, in_row}     the account creates nothing before that
        {"no_slot"}              the account is full
        {"capped"}               the tenant has in flight what it may have
        {"held_off", field}     a person paused this
        {"over_budget", whose, day or total, max, spent}   it would pass this cap of spending
        {"closed"}               what `only` asks for is not there
        {"paused"}               the job's batch is
        {"hinted"}               a callback named another task since the caller read the record
        {"nonce_taken"}          another open attempt of the account uses it
        {"wait", ms}             the next paced instant lies beyond the horizon
        All but ok and gone leave everything as it was, save a freeze when the lsn shows a loss, and a
        row of instants that a loss or a step of the clock has made doubtful.

  Safe to repeat: the token tells a repeated call from a late one.
  Cost: O(log n) per ticket and index, n being its length; about 20 writes; the first attempt of a day also reads
  and drops days of its purses, at most 63 of each. ]]

local f = cjson.decode(ARGV[1])
local job, id, w = KEYS[1], f.id, f.writer
local us = now_us()
local now = math.floor(us / 1000)
forgot(f.known, now)
local had = redis.call('HMGET', job, 'rev', 'by', 'nudged', 'usable', 'hint')
local holds = not w or redis.call('HGET', KEYS[w.holder], id) == w.fence

local function drop(place)
  redis.call('ZREM', KEYS[place.lease], id)
  redis.call('HDEL', KEYS[place.holder], id)
  if place.offers then redis.call('HDEL', KEYS[place.offers], id) end
end

if not had[1] then
  if w and holds then drop(w) end
  return {'gone'}
end
if had[2] == f.by then
  -- A begun attempt may be sent only by whoever still holds the ticket.
  if f.kept and not holds then return {'fenced'} end
  return {'already', had[1], now, had[4] and tonumber(had[4]) - us or 0}
end
if not holds then return {'fenced'} end
if had[1] ~= f.rev then return {'stale', had[1]} end
if f.only and redis.call('HEXISTS', KEYS[f.only.key], f.only.field) == 0 then return {'closed'} end
for n, task in ipairs(f.own) do
  local owner = redis.call('HGET', KEYS[f.tasks], task) or buried(f.tombs[n])
  if owner and owner ~= id then return {'owned', task, owner} end
end

local g, usable, interval, seen = f.begin, us, 0, nil
local probing = {}
-- What is known of a stop, behind its name.
local STOP_FIELDS = {'|until', '|in_row', '|class', '|code'}
if g then
  local frozen = redis.call('HGET', KEYS[f.known.freeze], 'why')
  if frozen then return {'frozen', frozen, tonumber(redis.call('GET', KEYS[f.known.lsn]) or 0), run_stamp()} end
  local mark = g.batch and redis.call('HMGET', KEYS[g.batch], 'paused', 'pilot')
  if mark and mark[1] and not (g.pilot and mark[2]) then return {'paused'} end
  if (had[5] or '') ~= g.hint then return {'hinted'} end
  local off, any = paused_each(g.pauses.key, g.pauses.fields, now)
  for i, field in ipairs(any and g.pauses.fields or {}) do
    if off[i] then return {'held_off', field} end
  end
  local over = g.purses and over_budget(g.purses)
  if over then return over end
  if g.cap then
    local flying = 0
    for _, n in ipairs(redis.call('HMGET', KEYS[g.cap.counts], unpack(g.cap.words))) do
      flying = flying + math.max(tonumber(n or 0), 0)
    end
    if flying >= g.cap.max then return {'capped'} end
  end
  local asked = {}
  for i, a in ipairs(g.stopped) do
    for k, what in ipairs(STOP_FIELDS) do asked[#STOP_FIELDS * (i - 1) + k] = a .. what end
  end
  local stops = redis.call('HMGET', KEYS[g.stops], unpack(asked))
  for i, a in ipairs(g.stopped) do
    local till, in_row, class, code = unpack(stops, #STOP_FIELDS * (i - 1) + 1, #STOP_FIELDS * i)
    in_row = tonumber(in_row or 0)
    if tonumber(till or 0) > now then
      return {'stopped', tonumber(till) - now, class or '', code or '', in_row}
    end
    if in_row > 0 then probing[#probing + 1] = a end
  end
  seen = read_row(KEYS[g.pace])
  local slots = slots_now(seen, us, g.running, g.lookahead)
  if tonumber(redis.call('HGET', KEYS[g.slots], g.slot) or 0) >= slots then return {'no_slot'} end
  if redis.call('HEXISTS', KEYS[g.nonces], g.nonce) == 1 then return {'nonce_taken'} end
  local count
  interval = interval_now(seen, us, g.interval, g.calls)
  count, usable = row(KEYS[g.pace], seen, KEYS[f.known.audit], us, interval, g, 1)
  if count < 1 then return {'wait', math.ceil((usable - us - g.lead - g.horizon) / 1000)} end
end

-- The first write is one that a server without memory refuses: whole or not at all.
local rev = tonumber(had[1]) + 1
local record = {'life', ARGV[2], 'st', f.st, 'rev', rev, 'by', f.by}
if g then record[9], record[10] = 'usable', string.format('%.0f', usable) end
redis.call('HSET', job, unpack(record))

local lsn = redis.call('INCR', KEYS[f.known.lsn])
if g then
  take_row(KEYS[g.pace], seen, us, usable, interval, 1, g, g.attempt)
  -- From here on it is the slot that counts.
  redis.call('HDEL', KEYS[g.offers], id)
  join_lanes(g.lanes, g.tenant)
  redis.call('ZINCRBY', KEYS[g.lanes], g.cost, g.tenant)
  -- One job finds out whether the account lives; the others wait for its answer.
  for _, a in ipairs(probing) do
    redis.call('HSET', KEYS[g.stops], a .. '|until', now + g.probe_ms, a .. '|probe', g.attempt)
  end
  count_today(KEYS[g.days], now, 'creates', 1)
  if g.purses then forget_days(g.purses) end
end

if not f.kept then
  local to, at, nudged = f.to, f.to and f.to.at, false
  if w then
    drop(w)
    if f.same and had[3] then at = now end
  elseif f.from then
    if not redis.call('ZSCORE', KEYS[f.from.lease], id) then
      redis.call('ZREM', KEYS[f.from.due], id)
    elseif f.same then
      -- A worker holds it: its next commit or release sees the mark and comes back at once.
      nudged, to = true, nil
    else
      drop(f.from)
    end
  end
  if nudged then
    redis.call('HSET', job, 'nudged', 1)
  elseif had[3] then
    redis.call('HDEL', job, 'nudged')
  end
  if to then put_down(to, id, at, now) end
end

if f.stop then
  local s, a = KEYS[f.stop.stops], f.stop.name
  local stop = redis.call('HMGET', s, a .. '|until', a .. '|probe')
  -- A shorter stop that was learned later does not end a longer one, save the wait for this probe.
  if f.stop['until'] > tonumber(stop[1] or 0) or stop[2] == f.stop.attempt then
    redis.call('HSET', s, a .. '|until', f.stop['until'], a .. '|class', f.stop.class, a .. '|code', f.stop.code)
  end
  redis.call('HSET', s, a .. '|in_row', f.stop.in_row)
end
for _, a in ipairs(f.clear and f.clear.names or {}) do
  local s = KEYS[f.clear.stops]
  local stop = redis.call('HMGET', s, a .. '|until', a .. '|probe')
  if stop[1] and (tonumber(stop[1]) <= now or stop[2] == f.clear.attempt) then
    redis.call('HDEL', s, a .. '|until', a .. '|class', a .. '|code', a .. '|in_row', a .. '|probe')
  elseif stop[1] then
    redis.call('HSET', s, a .. '|in_row', 0)
  end
end
for _, key in ipairs(f.unlist) do redis.call('ZREM', KEYS[key], id) end
for _, key in ipairs(f.list) do redis.call('ZADD', KEYS[key], f.created, id) end
for _, c in ipairs(f.counts) do redis.call('HINCRBY', KEYS[c[1]], c[2], c[3]) end
apply(f.moves)
for _, list in ipairs(f.wakes) do wake(list) end
return {'ok', rev, now, usable - us, lsn, run_stamp()}
