--[[ snippet/pace.lua: instants on a paced row, shared by commit (creates), grant (reads) and claim_submit
  (a look).

  Why a snippet  The row of instants is the provider's limit; two ways to count it would be two limits.
                 After snippets audit and run.
  Decides        Nothing: spacing and horizon are told by the caller.

  No two instants of a row are closer than its interval, whatever becomes of the server: one that was given
  away lay at most `lead + horizon` after its own TIME. So where the row may be older than what was given
  away (it is not there, or another run of the server wrote it), the next one comes one interval after that,
  counted from now. A caller's lead is taken for that of all: one that leaves its intents longer than
  others, while its bucket is slow, is not seen after a loss. ]]

-- Farther ahead than any row we give away: then the clock was set back.
local PACE_AHEAD_MAX_US = 60000000

-- Longest hold that a provider may ask for: one that lies farther ahead is of another clock.
local HOLD_AHEAD_MAX_US = 3600000000

local function keep_row(key, free)
  redis.call('HSET', key, 'tat', string.format('%.0f', free))
end

-- `free`, or the first instant that nobody can hold if the row is from another run of the server.
-- The stamp is only the cheap sign: it changes with every save too.
local function free_in_this_run(key, seen, free, safe)
  local stamp = string.format('%.0f', run_stamp())
  if free and seen[3] == stamp then return free end
  local run = run_id()
  if not free or run == '' or seen[4] ~= run then
    free = math.max(free or 0, safe)
    keep_row(key, free)
  end
  redis.call('HSET', key, 'stamp', stamp, 'run', run)
  return free
end

-- Up to `want` instants, `interval` µs apart, the first not before `lead` µs from now, none later than
-- `horizon` µs after that. `audit`: key for the alarm.
-- Returns how many, and the first of them: free, not taken. Writes only what is to be distrusted, at once,
-- so that the time it costs begins to pass.
local function row(key, audit, now, interval, horizon, lead, want)
  local seen = redis.call('HMGET', key, 'tat', 'hold', 'stamp', 'run')
  local last = now + lead + horizon
  local free = free_in_this_run(key, seen, tonumber(seen[1]), last + interval)
  local ahead = math.max(PACE_AHEAD_MAX_US, interval) + lead + horizon
  if free > now + ahead then
    audit_line(audit, math.floor(now / 1000), 'clock_set_back', 'redis', string.format(
      'the row %s lay %.0f s ahead of the clock: cut to %.0f s', key, (free - now) / 1e6, ahead / 1e6))
    free = now + ahead
    keep_row(key, free)
  end
  local held = tonumber(seen[2]) or 0
  if held > now + HOLD_AHEAD_MAX_US then
    audit_line(audit, math.floor(now / 1000), 'clock_set_back', 'redis', string.format(
      'the hold of %s lay %.0f s ahead of the clock: dropped', key, (held - now) / 1e6))
    redis.call('HDEL', key, 'hold')
    held = 0
  end
  local first = math.max(free, now + lead, held)
  local room = want
  if first > last then
    room = 0
  elseif interval > 0 then
    room = math.min(want, math.floor((last - first) / interval) + 1)
  end
  return room, first
end

local function take_row(key, first, interval, count) keep_row(key, first + count * interval) end
