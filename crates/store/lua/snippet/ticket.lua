--[[ snippet/ticket.lua: how a ticket is put down, shared by create, commit, release and hint.

  Why a snippet  Four verbs put tickets down, and a wake token or a place among the lanes forgotten by
                 one of them is a job that waits for nothing. src/script.rs puts it in front of them.
  Decides        Nothing: where and when is told by the caller.
  Keys           Named by their index into KEYS; nothing is spelled here. ]]

local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- One token at most: it wakes one idle claimer, who passes it on while more is due.
local function wake(list)
  if redis.call('LLEN', KEYS[list]) == 0 then redis.call('LPUSH', KEYS[list], '1') end
end

-- A tenant that comes back starts at the front's virtual time: idling earns no credit.
local function join_lanes(lanes, tenant)
  if redis.call('ZSCORE', KEYS[lanes], tenant) then return end
  local front = redis.call('ZRANGE', KEYS[lanes], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[lanes], front[2] or 0, tenant)
end

-- Members of one score, as ZADD takes them.
local function scored(score, members)
  local args = {}
  for i, member in ipairs(members) do
    args[2 * i - 1] = score
    args[2 * i] = member
  end
  return args
end

-- to: due, wake = key indexes; lanes, tenant = for a submit lane. Not more jobs than fit into one call.
local function put_down_all(to, ids, at, now)
  if to.lanes then join_lanes(to.lanes, to.tenant) end
  redis.call('ZADD', KEYS[to.due], unpack(scored(string.format('%.0f', at), ids)))
  if at <= now then wake(to.wake) end
end

local function put_down(to, id, at, now) put_down_all(to, {id}, at, now) end

-- Plain writes that need no look first: {command, key index, {arguments…}, longest length of the list, if it is one}
local function apply(moves)
  for _, move in ipairs(moves) do
    local length = redis.call(move[1], KEYS[move[2]], unpack(move[3]))
    if move[4] and length > move[4] then redis.call('LTRIM', KEYS[move[2]], 0, move[4] - 1) end
  end
end
