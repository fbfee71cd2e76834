--[[ limit.lua: a person changes limits of an account, or takes changes back.

  Why a script   Who did it and why must stand in the audit if and only if it was done.
  Caller         Store::change_limits (src/limits.rs).
  Decides        Nothing: what is allowed was judged before. What it writes only ever makes a row slower than
                 configured, whatever it says: snippet/pace.lua takes the lower of the two.

  KEYS  1 audit  list
        2…       hash  rows of instants: fields calls, running, lookahead

  ARGV  1 facts  JSON:
            alarm, by, reason  the line of the audit
            changes  list of {row (key index), field, value}; no value: as configured from here on

  Reply how many fields are other than before

  Safe to repeat: yes; the audit tells it twice.
  Cost: O(changes), at most a dozen. ]]

local f = cjson.decode(ARGV[1])
local t = redis.call('TIME')
local changed = 0
for _, change in ipairs(f.changes) do
  local key = KEYS[change.row]
  if not change.value then
    changed = changed + redis.call('HDEL', key, change.field)
  elseif redis.call('HGET', key, change.field) ~= change.value then
    redis.call('HSET', key, change.field, change.value)
    changed = changed + 1
  end
end
if changed > 0 then
  audit_line(KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), f.alarm, f.by, f.reason)
end
return changed
