--[[ mend.lua: writes what the doctor prescribes, if what it saw is still so.

  Why a script   Between the look and the cure the job may have moved on by itself; a cure for yesterday's
                 illness would be damage.
  Caller         Store::mend (src/doctor/mend.rs), when a person asked for repairs.
  Decides        Nothing: what was seen and what to write come from Rust.

  KEYS  1…  named by index in ARGV 1

  ARGV  1 cure  JSON:
            still  list of {command, key, arguments, seen}: reads and their answers; without `seen`: nothing
            to     {due, wake, at, lanes, tenant} a ticket to put down; absent: none
            id     whose ticket
            moves  plain writes

  Reply "mended" | "changed"   nothing was written: look again

  Safe to repeat: where `still` tells the second call from the first; else a repeat shows as a new
  difference at the next look.
  Cost: O(1). ]]

local f = cjson.decode(ARGV[1])
for _, still in ipairs(f.still) do
  local found = redis.call(still[1], KEYS[still[2]], unpack(still[3])) or nil
  if found ~= still[4] then return 'changed' end
end
if f.to then
  local t = redis.call('TIME')
  put_down(f.to, f.id, f.to.at, t[1] * 1000 + math.floor(t[2] / 1000))
end
apply(f.moves)
return 'mended'
