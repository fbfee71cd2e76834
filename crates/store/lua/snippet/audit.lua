--[[ snippet/audit.lua: a line for people, shared by whatever raises an alarm by itself.

  Why a snippet  Two forms of a line would be two alarms to read.
  Decides        Nothing. ]]

local AUDIT_LINES_MAX = 10000

local function audit_line(key, now, alarm, by, reason)
  redis.call('LPUSH', key, cjson.encode({at = now, alarm = alarm, by = by, reason = reason}))
  redis.call('LTRIM', key, 0, AUDIT_LINES_MAX - 1)
end
