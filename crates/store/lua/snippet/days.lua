--[[ snippet/days.lua: hashes whose fields begin with a UTC day, shared by create, commit, note, reserve and allot.

  Why a snippet  One day too many kept by one of them would grow for ever.
  Decides        Nothing. ]]

local DAY_MS = 86400000
local DAYS_KEPT = 7

local function day_of(now) return math.floor(now / DAY_MS) end

-- Adds to a field of a day; the day's first write drops the days that nobody reads any more.
local function count_day(key, day, kept, what, n)
  local sum = redis.call('HINCRBY', key, day .. '|' .. what, n)
  if sum == tonumber(n) then
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local of = tonumber(field:match('^(%d+)|') or 0)
      if of <= day - kept then redis.call('HDEL', key, field) end
    end
  end
  return sum
end

local function count_today(key, now, what, n)
  return count_day(key, day_of(now), DAYS_KEPT, what, n)
end
