--[[ done.lua: a counted call was answered, or never left.

  Why a script   The count is one field that every caller of the row reads and writes.
  Caller         Store::call_done (src/grant.rs).
  Decides        Nothing. What is not told ends by itself: see snippet/pace.lua.

  KEYS  1 pace  hash  field out

  ARGV  1 id      the instant that grant.lua told, or the attempt
        2 window  µs for which an answered call still counts; 0: nothing of it left, and it counts no more

  Reply 1 it counts for that long | 0 it is not there, or ended before

  Safe to repeat: an answer that is told twice counts from the first time on.
  Cost: O(calls of the limit), which are few. ]]

local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local calls, kept, found = calls_out(redis.call('HGET', KEYS[1], 'out') or '', now), {}, 0
for _, call in ipairs(calls) do
  if call[1] == ARGV[1] then
    call[2] = math.min(call[2], now + tonumber(ARGV[2]))
    found = 1
  end
  if call[2] > now then kept[#kept + 1] = call end
end
if found == 1 then keep_calls(KEYS[1], kept) end
return found
