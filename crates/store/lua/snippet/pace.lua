--[[ snippet/pace.lua: instants on a paced row, shared by commit (creates), grant (reads) and claim_submit
  (a look); what done takes back.

  Why a snippet  The row of instants is the provider's limit; two ways to count it would be two limits.
                 After snippets audit and run.
  Decides        Nothing: spacing, horizon and limits are told by the caller, as configured; what a person has
                 set and what was taken away after refusals stand in the row and only ever make it slower.

  No two instants of a row are closer than the interval in force when the later one was given away, whatever
  becomes of the server: the next one comes that long after the last, so a row that gets slower or faster
  does so with the next instant, and never lets more through than the faster of the two. One that was given
  away lay at most `lead_max + horizon` after its own TIME, whoever it was for: a lead differs between
  callers, and the longest that any may use does not. So where the row may be older than what was given
  away (it is not there, or another run of the server wrote it), the next one comes one interval after that,
  counted from now.

  Where calls are few, they are counted as well (field `out`): each from the moment it is given away until a
  window after its answer, or until `under_way` and a window after its instant where nobody says that it was
  answered. Of calls that arrive within one window, the one given away last finds all the others counted, so
  no more than the limit ever do, however long each is on its way. A lost row has lost this count too: then
  nothing is given away until all that may have been out has arrived and left the window. ]]

-- Farther ahead than any row we give away: then the clock was set back.
local PACE_AHEAD_MAX_US = 60000000

-- Longest hold that a provider may ask for: one that lies farther ahead is of another clock.
local HOLD_AHEAD_MAX_US = 3600000000

-- What was taken away farther ahead than this was written by another clock, and does not count.
local AWAY_AHEAD_MAX_US = 60000000

-- What a row may hold.
local FIELDS = {
  'tat', 'gap', 'hold', 'stamp', 'run', 'calls', 'running', 'lookahead', 'rate', 'ramp', 'depth', 'out',
}

local function read_row(key)
  local had, seen = redis.call('HMGET', key, unpack(FIELDS)), {}
  for i, name in ipairs(FIELDS) do seen[name] = had[i] end
  return seen
end

-- What a person has set: `<value> <end, µs, or 0> …`; nothing once it has ended.
local function set_now(text, now)
  local value, ends = (text or ''):match('^(%d+) (%d+)')
  if value and (ends == '0' or tonumber(ends) > now) then return tonumber(value) end
end

-- What is still taken away after a refusal: `<at first> <given back each time> <every, µs> <since, µs> …`.
local function away_now(text, now)
  local first, step, every, since = (text or ''):match('^(%d+) (%d+) (%d+) (%d+)')
  if not first or tonumber(since) > now + AWAY_AHEAD_MAX_US then return 0 end
  local times = math.floor(math.max(now - since, 0) / math.max(tonumber(every), 1))
  return math.max(first - step * times, 0)
end

-- Between two calls, in force now. `calls`: of the configured limit, which `interval` keeps to.
local function interval_now(seen, now, interval, calls)
  if interval == 0 then return 0 end
  local thousandths = math.min(calls * 1000, set_now(seen.calls, now) or math.huge)
  local away = math.min(math.max(away_now(seen.rate, now), away_now(seen.ramp, now)), 999)
  return math.ceil(interval * calls * 1e6 / (math.max(thousandths, 1) * (1000 - away)))
end

-- Slots of a class in force now, look-ahead included. Who may run nothing gets nothing to look ahead to.
local function slots_now(seen, now, running, lookahead)
  running = math.min(running, set_now(seen.running, now) or running)
  if running == 0 then return 0 end
  lookahead = math.min(lookahead, set_now(seen.lookahead, now) or lookahead)
  return running + math.max(lookahead - away_now(seen.depth, now), 0)
end

-- Calls that count at an instant: a list of {id, until, µs}.
local function calls_out(text, now)
  local calls = {}
  for id, till in (text or ''):gmatch('(%S+) (%d+)') do
    if tonumber(till) > now then calls[#calls + 1] = {id, tonumber(till)} end
  end
  return calls
end

local function keep_calls(key, calls)
  local words = {}
  for i, call in ipairs(calls) do words[i] = string.format('%s %.0f', call[1], call[2]) end
  redis.call('HSET', key, 'out', table.concat(words, ' '))
end

-- `free` comes `gap` µs after the last instant that was given away, or, without a gap, is what it is whatever the
-- interval: nobody knows the last one, and with a gap of nothing each look would find it an interval later.
local function keep_row(key, free, gap)
  redis.call('HSET', key, 'tat', string.format('%.0f', free))
  if gap then
    redis.call('HSET', key, 'gap', string.format('%.0f', gap))
  else
    redis.call('HDEL', key, 'gap')
  end
end

-- `free`, or the first instant that nobody can hold if the row is from another run of the server.
-- The stamp is only the cheap sign: it changes with every save too.
local function free_in_this_run(key, seen, free, safe, gap)
  local stamp = string.format('%.0f', run_stamp())
  if free and seen.stamp == stamp then return free end
  local run = run_id()
  if not free or run == '' or seen.run ~= run then
    free = math.max(free or 0, safe)
    keep_row(key, free, gap)
    redis.call('HDEL', key, 'out')
    seen.out = nil
  end
  redis.call('HSET', key, 'stamp', stamp, 'run', run)
  return free
end

-- Up to `want` instants, `interval` µs apart, the first not before `lead` µs from now, none later than
-- `horizon` µs after that. `p`: {horizon, lead, lead_max, calls, counted}, the last two the limit and, where its
-- calls are counted, {window, under_way}, µs; `audit`: key for the alarm.
-- Returns how many, and the first of them: free, not taken. Writes only what is to be distrusted, at once,
-- so that the time it costs begins to pass.
local function row(key, seen, audit, now, interval, p, want)
  local lead_max = math.max(p.lead, p.lead_max)
  local last, last_of_all = now + p.lead + p.horizon, now + lead_max + p.horizon
  -- What a loss puts behind the last instant, and the part of it that gets shorter where the row gets faster; none
  -- where all that may be out has to arrive before.
  local c, behind, gap = p.counted, interval, interval
  if c then behind, gap = math.max(interval, c.under_way + c.window), nil end
  local free = tonumber(seen.tat)
  if free and seen.gap then free = free - seen.gap + interval end
  free = free_in_this_run(key, seen, free, last_of_all + behind, gap)
  local ahead = math.max(PACE_AHEAD_MAX_US, behind) + lead_max + p.horizon
  if free > now + ahead then
    audit_line(audit, math.floor(now / 1000), 'clock_set_back', 'redis', string.format(
      'the row %s lay %.0f s ahead of the clock: cut to %.0f s', key, (free - now) / 1e6, ahead / 1e6))
    free = now + ahead
    keep_row(key, free, gap)
    -- Whatever counts ends before that, by a clock that tells other times.
    redis.call('HDEL', key, 'out')
    seen.out = nil
  end
  local held = tonumber(seen.hold) or 0
  if held > now + HOLD_AHEAD_MAX_US then
    audit_line(audit, math.floor(now / 1000), 'clock_set_back', 'redis', string.format(
      'the hold of %s lay %.0f s ahead of the clock: dropped', key, (held - now) / 1e6))
    redis.call('HDEL', key, 'hold')
    held = 0
  end
  local first = math.max(free, now + p.lead, held)
  local room = want
  if c then
    local calls, soonest = calls_out(seen.out, now), now + c.window
    room = math.min(want, p.calls - #calls)
    if room < 1 then
      -- One that is on its way counts for a window more at the least.
      for _, call in ipairs(calls) do soonest = math.min(soonest, call[2]) end
      return 0, math.max(first, soonest + p.lead + p.horizon)
    end
    want = room
  end
  if first > last then
    room = 0
  elseif interval > 0 then
    room = math.min(want, math.floor((last - first) / interval) + 1)
  end
  return room, first
end

-- `id`: of the one call; without it each is known by its instant.
local function take_row(key, seen, now, first, interval, count, p, id)
  keep_row(key, first + count * interval, interval)
  local c = p.counted
  if not c then return end
  local calls = calls_out(seen.out, now)
  for i = 0, count - 1 do
    local at = first + i * interval
    calls[#calls + 1] = {id or string.format('%.0f', at), at + c.under_way + c.window}
  end
  keep_calls(key, calls)
end
