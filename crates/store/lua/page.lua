--[[ page.lua: the next entries of some indexes behind one place, each in the order of a list.

  Why a script   A place is found by rank, and ranks move with every commit: looked up and read in two
                 calls, entries would be passed over. And the union of several indexes must be that of
                 one instant, or a job that changes its state between two reads is in neither.
  Caller         Store::list (src/list.rs).
  Decides        Nothing, and writes nothing.

  KEYS  1…  zset  indexes: job id by creation time, Unix ms

  ARGV  1 n      entries wanted of each index
        2 order  newest | oldest: entries of one instant go by their id, in the same direction
        3 first  lowest instant, or -inf
        4 last   highest instant, or +inf
        5 at     instant of the place, Unix ms; empty: from the beginning
        6 id     job id of the place; what stands at it or before it is left out

  Reply one list per index: id, instant, id, instant, …

  Safe to repeat: yes.
  Cost: O(keys × (log m × log t + n)), t being the entries of the place's own instant. ]]

local n, newest = tonumber(ARGV[1]), ARGV[2] == 'newest'
local low, high, at, id = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local function count(key, from, to) return redis.call('ZCOUNT', key, from, to) end

local function member(key, rank)
  local got = newest and redis.call('ZRANGE', key, rank, rank, 'REV') or redis.call('ZRANGE', key, rank, rank)
  return got[1]
end

-- Rank, in the list's direction, of the first entry behind the place.
local function behind(key)
  if at == '' then return 0 end
  if redis.call('ZSCORE', key, id) == at then
    return redis.call(newest and 'ZREVRANK' or 'ZRANK', key, id) + 1
  end
  local from = newest and count(key, '(' .. at, '+inf') or count(key, '-inf', '(' .. at)
  local to = from + count(key, at, at)
  while from < to do
    local middle = math.floor((from + to) / 2)
    local found = member(key, middle)
    local before = newest and found > id or not newest and found < id
    if before then from = middle + 1 else to = middle end
  end
  return from
end

local pages = {}
for i, key in ipairs(KEYS) do
  -- Entries outside the bounds, in front of the list and behind it.
  local front = newest and (high ~= '+inf' and count(key, '(' .. high, '+inf') or 0)
    or not newest and (low ~= '-inf' and count(key, '-inf', '(' .. low) or 0)
  local stop = newest and count(key, low, '+inf') or not newest and count(key, '-inf', high)
  local from = math.max(behind(key), front)
  local to = math.min(from + n, stop) - 1
  if to < from then
    pages[i] = {}
  elseif newest then
    pages[i] = redis.call('ZRANGE', key, from, to, 'REV', 'WITHSCORES')
  else
    pages[i] = redis.call('ZRANGE', key, from, to, 'WITHSCORES')
  end
end
return pages
