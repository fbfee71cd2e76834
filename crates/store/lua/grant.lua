--[[ grant.lua: the right to make up to n calls of one kind, each at its own instant.

  Why a script   The row of instants is shared by every process; its clock is the server's.
  Caller         Store::grant (src/grant.rs). Creates get theirs inside commit.lua.
  Decides        Nothing: spacing and horizon come from the configured limit; one that a person has set
                 stands in the row.

  KEYS  1 pace   hash  see snippet/pace.lua
        2 audit  list

  ARGV  1 n         calls wanted
        2 interval  µs between two instants
        3 horizon   µs: none later than this from now
        4 calls     of the limit that the interval keeps to
        5 lead_max  µs: what anybody may leave between now and an instant of this row
        6 window    µs, where calls are counted; 0: they are not
        7 under_way µs: after its instant, what a call may take until all of it has arrived or nothing will

  Reply {count, µs from now to the first, µs left of a hold, µs between two, the first}   count 0: ask again
        after the second less the horizon. The third is told then only, and is 0 where no hold stands. The
        last, µs, is what a counted call is known by (done.lua)

  Safe to repeat: a lost reply leaves instants unused, never an excess.
  Cost: O(1). ]]

local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local seen = read_row(KEYS[1])
local p = {horizon = tonumber(ARGV[3]), lead = 0, lead_max = tonumber(ARGV[5]), calls = tonumber(ARGV[4])}
if ARGV[6] ~= '0' then p.counted = {window = tonumber(ARGV[6]), under_way = tonumber(ARGV[7])} end
local interval = interval_now(seen, now, tonumber(ARGV[2]), p.calls)
local count, first = row(KEYS[1], seen, KEYS[2], now, interval, p, tonumber(ARGV[1]))
if count == 0 then
  local held = tonumber(redis.call('HGET', KEYS[1], 'hold')) or 0
  return {0, first - now, math.max(0, held - now), interval, 0}
end
take_row(KEYS[1], seen, now, first, interval, count, p)
return {count, first - now, 0, interval, first}
