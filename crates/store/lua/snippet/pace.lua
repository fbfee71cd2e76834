--[[ snippet/pace.lua: instants on a paced row, shared by commit (creates) and grant (reads).

  Why a snippet  The row of instants is the provider's limit; two ways to count it would be two limits.
  Decides        Nothing: spacing and horizon are told by the caller. ]]

-- Farther ahead than any row we give away: then the clock was set back.
local PACE_AHEAD_MAX_US = 60000000

-- Up to `want` instants, `interval` µs apart, the first not before `lead` µs from now, none later than
-- `horizon` µs after that.
-- Returns how many, the first of them, and writes nothing.
local function row(key, now, interval, horizon, lead, want)
  local seen = redis.call('HMGET', key, 'tat', 'hold')
  -- Never used or lost with its server: what was given away before lies inside the horizon.
  local last = now + lead + horizon
  local free = tonumber(seen[1]) or last
  local ahead = math.max(PACE_AHEAD_MAX_US, interval) + lead + horizon
  if free > now + ahead then free = now + ahead end
  local first = math.max(free, now + lead, tonumber(seen[2]) or 0)
  local room = want
  if first > last then
    room = 0
  elseif interval > 0 then
    room = math.min(want, math.floor((last - first) / interval) + 1)
  end
  return room, first
end

local function take_row(key, first, interval, count)
  redis.call('HSET', key, 'tat', string.format('%.0f', first + count * interval))
end
