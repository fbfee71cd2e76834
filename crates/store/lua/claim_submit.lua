--[[ claim_submit.lua: hands out due tickets of one slot class, fairly between tenants, each with the account
  that has most room for it.

  Why a script   As claim.lua; and the room of the accounts must be read in the same instant, or two
                 claimers fill it twice.
  Caller         Store::claim (src/claim.rs), once per group of 16 tenants, lowest virtual time first.
  Decides        Nothing. The rule is fixed: expired leases first; then, while an account can begin one more,
                 the tenant with the lowest virtual time. Of its lanes `high` goes first; of the others, while
                 tickets are older than age_ms, the one with the oldest, else the higher one. One claim
                 in 1,024, counted by the fence, is the oldest ticket of the tenant, so that nothing
                 waits for ever behind a stream of urgent jobs. A tenant with as much in flight as it may
                 have is passed over: its tickets wait, and it earns no virtual time by waiting. Virtual time is
                 charged with the exact cost by commit.lua at Begin; inside one call each ticket counts as the
                 mean.
                 An account can begin as many as it has free slots, less what was handed out for it and has not
                 begun; none while it is stopped, one after a stop; and no more than it has instants before
                 the horizon, by the limits in force: as configured, or lower. The one with the largest part
                 of its slots free comes first. commit.lua looks at all of it again; where nothing can begin,
                 no ticket moves.

  KEYS  1 lease   zset    job id by end of lease, Unix ms
        2 holder  hash    job id to claim fence
        3 wake    list    at most one token
        4 fence   string  last fence handed out in the pool
        5 slots   hash    slots in use per account and class
        6 lanes   zset    tenants by virtual time
        7 stops   hash    stopped accounts
        8 offers  hash    job id to end and account of an offer: a lease that has not begun
        9 audit   list
        10…       zset    three lanes per tenant: high, normal, low
        …         hash    jobs per state of each tenant, in the same order
        …         hash    row of creates of each account
        last      hash    what people paused

  ARGV  1 facts  JSON:
            n         tickets wanted, at most 500
            lease_ms  how long they are lent
            age_ms    a ticket due for longer goes by its age, save before `high`
            mean      cost that one ticket counts for inside this call
            clean     the group is the first one, and empty tenants in front of it may be dropped
            words     the states that count as in flight
            tenants   list of {name, cap}; cap 0: none
            accounts  list of {name, slot (field), stopped (two names of stops), running, lookahead (slots),
                      interval (µs), calls, counted (as commit.lua takes it)}, limits as configured; absent:
                      whatever is asked for is handed out, without an account
            horizon, lead, lead_max  µs, as commit.lua takes them
            pauses    {key, fields}: of all creates, of the class, of each tenant in order; the tickets of what is
                      paused wait as those of a tenant at its cap do

  Reply {now ms, ms until a ticket of the group can be handed out or -1, how many ids were reclaimed, first fence,
         room left, id, account, id, account…}   an account may be empty: look for one

  Safe to repeat: as claim.lua. An offer whose holder is silent ends with its first lease.
  Cost: O((n + tenants) log m + accounts + offers). ]]

local f = cjson.decode(ARGV[1])
local t = redis.call('TIME')
local us = t[1] * 1000000 + t[2]
local now = math.floor(us / 1000)
local LANES, COUNTS = 9, 9 + 3 * #f.tenants
local PACES = COUNTS + #f.tenants

local ids = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, f.n)
local lost = #ids

-- heads[j]: {id, due} of lane j, or false
local tenants, heads, some_due = {}, {}, false
local function look(lane)
  local head = redis.call('ZRANGE', KEYS[LANES + lane], 0, 0, 'WITHSCORES')
  heads[lane] = head[1] and {head[1], tonumber(head[2])} or false
end
-- What a tenant may begin beside what it has in flight. What others have claimed and not begun is not seen
-- here: commit.lua looks again when the attempt begins.
local function free_of(counts, cap)
  if cap == 0 then return math.huge end
  for _, had in ipairs(redis.call('HMGET', counts, unpack(f.words))) do
    cap = cap - math.max(tonumber(had or 0), 0)
  end
  return cap
end
local off = paused_each(f.pauses.key, f.pauses.fields, now)
for k, tenant in ipairs(f.tenants) do
  local paused = off[1] or off[2] or off[2 + k]
  tenants[k] = {
    name = tenant.name, free = paused and 0 or free_of(KEYS[COUNTS + k], tenant.cap),
    time = tonumber(redis.call('ZSCORE', KEYS[6], tenant.name) or 0),
  }
  for p = 3 * k - 2, 3 * k do
    look(p)
    some_due = some_due or heads[p] and heads[p][2] <= now and tenants[k].free >= 1
  end
end

-- Offers that stand, counted by account, and who held one that has ended: neither has begun.
local function count_offers()
  local open, ended, gone = {}, {}, {}
  local all = redis.call('HGETALL', KEYS[8])
  for i = 1, #all, 2 do
    local till, account = all[i + 1]:match('^(%d+) (.*)$')
    if till and tonumber(till) > now then
      open[account] = (open[account] or 0) + 1
    elseif #gone < 1000 then
      gone[#gone + 1], ended[all[i]] = all[i], true
    end
  end
  if #gone > 0 then redis.call('HDEL', KEYS[8], unpack(gone)) end
  return open, ended
end

-- Per account: its `limit` of slots and those of them that are free (`slots`), how many it `can` begin now, its
-- `next` instant and its `interval`. The row is read only where a slot may be free.
local function look_at_accounts(open)
  local accounts, stops, slots = {}, {}, {}
  for i, a in ipairs(f.accounts) do
    slots[i] = a.slot
    for k, stop in ipairs(a.stopped) do
      stops[4 * i - 5 + 2 * k], stops[4 * i - 4 + 2 * k] = stop .. '|until', stop .. '|in_row'
    end
  end
  stops = redis.call('HMGET', KEYS[7], unpack(stops))
  slots = redis.call('HMGET', KEYS[5], unpack(slots))
  for i, a in ipairs(f.accounts) do
    local offered, limit = open[a.name] or 0, a.running + a.lookahead
    local taken = math.max(tonumber(slots[i] or 0), 0) + offered
    local seen = {
      name = a.name, limit = limit, offered = offered, can = 0, slots = limit - taken,
      stopped = math.max(tonumber(stops[4 * i - 3] or 0) - now, tonumber(stops[4 * i - 1] or 0) - now, 0),
      probes = tonumber(stops[4 * i - 2] or 0) > 0 or tonumber(stops[4 * i] or 0) > 0,
    }
    if seen.slots >= 1 and seen.stopped == 0 then
      local key, count = KEYS[PACES + i], 0
      local had = read_row(key)
      seen.limit = slots_now(had, us, a.running, a.lookahead)
      seen.slots = seen.limit - taken
      seen.interval = interval_now(had, us, a.interval, a.calls)
      local p = {horizon = f.horizon, lead = f.lead, lead_max = f.lead_max, calls = a.calls, counted = a.counted}
      count, seen.next = row(key, had, KEYS[9], us, seen.interval, p, limit)
      seen.can = math.max(math.min(seen.slots, count - offered, seen.probes and 1 - offered or math.huge), 0)
    end
    accounts[i] = seen
  end
  return accounts
end

-- Only where a ticket may go out: an idle queue costs nothing.
local accounts, ended, can = {}, {}, 0
if f.accounts and #f.accounts > 0 and (some_due or lost > 0) then
  local open
  open, ended = count_offers()
  accounts = look_at_accounts(open)
  for _, a in ipairs(accounts) do can = can + a.can end
elseif not f.accounts or not some_due then
  can = 2 ^ 31
end

local offers = {}
local function offer(n)
  local best
  for _, a in ipairs(accounts) do
    local more = best and a.slots * best.limit - best.slots * a.limit
    if a.can >= 1 and (not best or more > 0 or (more == 0 and a.slots > best.slots)) then best = a end
  end
  offers[n] = best and best.name or ''
  if best then
    best.can, best.slots, best.offered, can = best.can - 1, best.slots - 1, best.offered + 1, can - 1
  end
end
-- Who had begun holds a slot already.
for i = 1, lost do
  if ended[ids[i]] then offer(i) else offers[i] = '' end
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
  local urgent = oldest_of(high, high, now) or oldest_of(high + 1, low, now - f.age_ms)
  return urgent or oldest_of(high + 1, high + 1, now) or oldest_of(low, low, now)
end

local served
while can >= 1 and #ids < f.n do
  local turn, lane
  for k, tenant in ipairs(tenants) do
    if not turn or tenant.time < tenants[turn].time then
      local found = lane_of(k)
      if found then turn, lane = k, found end
    end
  end
  if not turn then break end
  ids[#ids + 1] = heads[lane][1]
  offer(#ids)
  redis.call('ZREM', KEYS[LANES + lane], heads[lane][1])
  look(lane)
  served = served or tenants[turn].time
  tenants[turn].time = tenants[turn].time + f.mean
  tenants[turn].free = tenants[turn].free - 1
end

local first = 0
if #ids > 0 then
  first = redis.call('INCRBY', KEYS[4], #ids) - #ids + 1
  for i = 1, #ids do
    local ends = string.format('%.0f', now + f.lease_ms)
    redis.call('ZADD', KEYS[1], ends, ids[i])
    redis.call('HSET', KEYS[2], ids[i], first + i - 1)
    if offers[i] ~= '' then redis.call('HSET', KEYS[8], ids[i], ends .. ' ' .. offers[i]) end
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
if f.clean then
  for _, tenant in ipairs(tenants) do
    if tenant.empty and (not front or tenant.time <= front) then redis.call('ZREM', KEYS[6], tenant.name) end
  end
end

local function sooner(one, other) return one < 0 and other or math.min(one, other) end

-- When a ticket falls due, and when an account can begin one; a slot that frees leaves a token.
local next_due, opens = -1, -1
for lane, head in ipairs(heads) do
  if head and tenants[math.ceil(lane / 3)].free >= 1 then
    next_due = sooner(next_due, math.max(head[2] - now, 0))
  end
end
for _, a in ipairs(accounts) do
  if a.slots >= 1 and a.stopped > 0 then
    opens = sooner(opens, a.stopped)
  elseif a.slots >= 1 and (not a.probes or a.offered == 0) then
    local over = a.next + a.offered * a.interval - us - f.lead - f.horizon
    opens = sooner(opens, math.max(math.ceil(over / 1000), 1))
  end
end
if can < 1 then
  next_due = next_due >= 0 and opens >= 0 and math.max(next_due, opens) or -1
elseif next_due == 0 and redis.call('LLEN', KEYS[3]) == 0 then
  redis.call('LPUSH', KEYS[3], '1')
end
local reply = {now, next_due, lost, first, can}
for i = 1, #ids do reply[#reply + 1], reply[#reply + 2] = ids[i], offers[i] end
return reply
