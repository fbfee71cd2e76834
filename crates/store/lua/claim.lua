--[[ claim.lua: hands out due tickets of one queue (settle, poll, download, notify).

  Why a script   A ticket must never be in no set and never be handed out twice; the clock that judges it
                 is the server's.
  Caller         Store::claim (src/claim.rs), which then reads the records in a pipeline.
  Decides        Nothing. Expired leases come first: that is how a dead worker's jobs come back. Then,
                 of what is due, the ticket due for longest; of downloads, the one whose link dies first.
                 Of a paused queue only what was begun before comes back, and what would be lost meanwhile goes out.

  KEYS  1 due     zset    job id by due time, Unix ms
        2 lease   zset    job id by end of lease, Unix ms
        3 holder  hash    job id to claim fence
        4 wake    list    at most one token
        5 fence   string  last fence handed out in the pool
        6 pauses  hash    what people paused
        7 deadline zset   download only: job id by the death of its link, Unix ms

  ARGV  1 n         tickets wanted, at most 2,000
        2 lease_ms  how long they are lent
        3 pause     field of the pause that holds this queue; empty: none can
        4 margin_ms  download only: a ticket whose link dies within this time goes out whatever is paused

  Reply {now ms, ms until the next ticket falls due or -1, how many of the ids were reclaimed,
         first fence, ids…}   reclaimed ids first; fences are consecutive

  Safe to repeat: a lost reply leaves leases that nobody works on; they pass and are reclaimed.
  Cost: O(n log m), m being the length of the sets; of downloads, the 2,000 with the earliest deadlines
  are looked at, and what is missing then comes by due time. ]]

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local n = tonumber(ARGV[1])
local ids = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, n)
local lost = #ids

local off = ARGV[3] ~= '' and paused_each(6, {ARGV[3]}, now)[1]

local function earliest(from)
  if not off then return redis.call('ZRANGE', KEYS[7], from, from + 99) end
  return redis.call('ZRANGE', KEYS[7], '-inf', now + ARGV[4], 'BYSCORE', 'LIMIT', from, 100)
end

-- Those of the earliest deadlines that are due; others are leased, or wait for their next try.
local function take_urgent()
  for from = 0, 1900, 100 do
    if #ids >= n then return end
    local page = earliest(from)
    if #page == 0 then return end
    local due, taken = redis.call('ZMSCORE', KEYS[1], unpack(page)), {}
    for i = 1, #page do
      if due[i] and tonumber(due[i]) <= now and #ids < n then
        taken[#taken + 1], ids[#ids + 1] = page[i], page[i]
      end
    end
    if #taken > 0 then redis.call('ZREM', KEYS[1], unpack(taken)) end
  end
end

if KEYS[7] then take_urgent() end
if #ids < n and not off then
  local due = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, n - #ids)
  if #due > 0 then
    redis.call('ZREM', KEYS[1], unpack(due))
    for i = 1, #due do ids[#ids + 1] = due[i] end
  end
end

local first = 0
if #ids > 0 then
  first = redis.call('INCRBY', KEYS[5], #ids) - #ids + 1
  local ends, fences = {}, {}
  for i = 1, #ids do
    ends[2 * i - 1], ends[2 * i] = now + ARGV[2], ids[i]
    fences[2 * i - 1], fences[2 * i] = ids[i], first + i - 1
  end
  redis.call('ZADD', KEYS[2], unpack(ends))
  redis.call('HSET', KEYS[3], unpack(fences))
end

local next_due = -1
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[2] and not off then next_due = math.max(tonumber(head[2]) - now, 0) end
if next_due == 0 and redis.call('LLEN', KEYS[4]) == 0 then redis.call('LPUSH', KEYS[4], '1') end
return {now, next_due, lost, first, unpack(ids)}
