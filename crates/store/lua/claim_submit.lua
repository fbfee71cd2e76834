--[[ claim_submit.lua: hands out due tickets of one slot class, fairly between tenants.

  Why a script   As claim.lua; and the room left by slots and open leases must be read in the same
                 instant, or two claimers fill it twice.
  Caller         Store::claim (src/claim.rs), once per group of 16 tenants, lowest virtual time first.
  Decides        Nothing. The rule is fixed: expired leases first; then, while there is room, the tenant
                 with the lowest virtual time. Of its lanes `high` goes first; of the others, while
                 tickets are older than age_ms, the one with the oldest, else the higher one. One claim
                 in 1,024, counted by the fence, is the oldest ticket of the tenant, so that nothing
                 waits for ever behind a stream of urgent jobs. A tenant with as much in flight as it may have is passed over: its tickets
                 wait, and it earns no virtual time by waiting. Virtual time is charged with the exact cost by commit.lua at Begin; inside
                 one call each ticket counts as the mean.

  KEYS  1 lease   zset    job id by end of lease, Unix ms
        2 holder  hash    job id to claim fence
        3 wake    list    at most one token
        4 fence   string  last fence handed out in the pool
        5 slots   hash    slots in use per account and class
        6 lanes   zset    tenants by virtual time
        7…        zset    three lanes per tenant of ARGV: high, normal, low
        …         hash    jobs per state of each of these tenants, in the same order

  ARGV  1 n         tickets wanted, at most 500
        2 lease_ms  how long they are lent
        3 capacity  slots of the class over all accounts, look-ahead included
        4 age_ms    a ticket due for longer goes by its age, save before `high`
        5 mean      cost that one ticket counts for inside this call
        6 clean     1: the group is the first one, and empty tenants in front of it may be dropped
        7 words     the states that count as in flight, blanks between
        8 fields    how many fields of slots follow, then these, then tenant and cap in turn; 0: no cap

  Reply {now ms, ms until the next ticket of the group falls due or -1, how many ids were reclaimed,
         first fence, room left, ids…}

  Safe to repeat: as claim.lua.
  Cost: O((n + tenants) log m). ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local n, capacity, age = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local fields = tonumber(ARGV[8])

local used = redis.call('ZCARD', KEYS[1])
for i = 9, 8 + fields do used = used + math.max(tonumber(redis.call('HGET', KEYS[5], ARGV[i]) or 0), 0) end
local ids = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, n)
local lost = #ids
local room = math.min(n - lost, math.max(capacity - used, 0))

-- heads[j]: {id, due} of lane j, or false
local tenants, heads = {}, {}
local function look(lane)
  local head = redis.call('ZRANGE', KEYS[6 + lane], 0, 0, 'WITHSCORES')
  heads[lane] = head[1] and {head[1], tonumber(head[2])} or false
end
local words = {}
for word in ARGV[7]:gmatch('%S+') do words[#words + 1] = word end
-- What a tenant may begin beside what it has in flight. What others have claimed and not begun is not seen
-- here: commit.lua looks again when the attempt begins.
local function free_of(counts, cap)
  if cap == 0 then return math.huge end
  for _, had in ipairs(redis.call('HMGET', counts, unpack(words))) do
    cap = cap - math.max(tonumber(had or 0), 0)
  end
  return cap
end
local count = (#ARGV - 8 - fields) / 2
for k = 1, count do
  for p = 3 * k - 2, 3 * k do look(p) end
  local name, cap = ARGV[7 + fields + 2 * k], tonumber(ARGV[8 + fields + 2 * k])
  tenants[k] = {
    name = name, free = free_of(KEYS[6 + 3 * count + k], cap),
    time = tonumber(redis.call('ZSCORE', KEYS[6], name) or 0),
  }
end

-- The share of claims that goes by age alone.
local BY_AGE_ONE_IN = 1024
local fence = tonumber(redis.call('GET', KEYS[4]) or 0)

-- The oldest head of lanes `from` to `to` that is due before `limit`.
local function oldest_of(from, to, limit)
  local found
  for p = from, to do
    local head = heads[p]
    if head and head[2] <= limit and (not found or head[2] < heads[found][2]) then found = p end
  end
  return found
end

-- The lane to serve of tenant k, if one has a due ticket.
local function lane_of(k)
  local high, low = 3 * k - 2, 3 * k
  if tenants[k].free < 1 then return nil end
  if (fence + #ids + 1) % BY_AGE_ONE_IN == 0 then return oldest_of(high, low, now) end
  local urgent = oldest_of(high, high, now) or oldest_of(high + 1, low, now - age)
  return urgent or oldest_of(high + 1, high + 1, now) or oldest_of(low, low, now)
end

local served
while room > 0 do
  local turn, lane
  for k, tenant in ipairs(tenants) do
    if not turn or tenant.time < tenants[turn].time then
      local found = lane_of(k)
      if found then turn, lane = k, found end
    end
  end
  if not turn then break end
  ids[#ids + 1] = heads[lane][1]
  redis.call('ZREM', KEYS[6 + lane], heads[lane][1])
  look(lane)
  served = served or tenants[turn].time
  tenants[turn].time = tenants[turn].time + ARGV[5]
  tenants[turn].free = tenants[turn].free - 1
  room = room - 1
end

local first = 0
if #ids > 0 then
  first = redis.call('INCRBY', KEYS[4], #ids) - #ids + 1
  for i = 1, #ids do
    redis.call('ZADD', KEYS[1], now + ARGV[2], ids[i])
    redis.call('HSET', KEYS[2], ids[i], first + i - 1)
  end
end

-- A tenant without tickets is forgotten only once the others have caught up with what it bought.
local front
for k, tenant in ipairs(tenants) do
  local waits = heads[3 * k - 2] or heads[3 * k - 1] or heads[3 * k]
  tenant.empty = not waits
  if waits and tenant.free < 1 and served and tenant.time < served then
    redis.call('ZADD', KEYS[6], 'XX', served, tenant.name)
    tenant.time = served
  end
  if waits and (not front or tenant.time < front) then front = tenant.time end
end
if ARGV[6] == '1' then
  for _, tenant in ipairs(tenants) do
    if tenant.empty and (not front or tenant.time <= front) then redis.call('ZREM', KEYS[6], tenant.name) end
  end
end

local next_due = -1
for lane, head in ipairs(heads) do
  if head and tenants[math.ceil(lane / 3)].free >= 1 then
    local left = math.max(head[2] - now, 0)
    if next_due < 0 or left < next_due then next_due = left end
  end
end
local left = math.max(capacity - used - (#ids - lost), 0)
if left == 0 then
  next_due = -1
elseif next_due == 0 and redis.call('LLEN', KEYS[3]) == 0 then
  redis.call('LPUSH', KEYS[3], '1')
end
return {now, next_due, lost, first, left, unpack(ids)}
