--[[ snippet/run.lua: is this still the server that was asked last time? Shared by the alarm (lsn) and by pace.

  Why a snippet  Both distrust what an earlier run wrote, and must agree on when one ended.
  Decides        Nothing. ]]

-- Whether another server may have taken over (src/script.rs puts `true` there for Sentinel and Cluster).
local many_servers = false

-- The instant of the server's last save, which is that of its start where it saves nothing: another value
-- may mean another run of it. A server that does not tell runs for ever. Cheap enough for every call, and asked
-- once in each: nothing of it changes while a script runs.
-- Two servers may have started in one second, so among many the line of replication counts as well, whose
-- name is another after every failover: 20 bits of it, so that the whole is a number (src/freeze.rs does the same).
local stamp_of_call
local function ask_stamp()
  local stamp = redis.pcall('LASTSAVE')
  if type(stamp) ~= 'number' then return 0 end
  if not many_servers then return stamp end
  local info = redis.pcall('INFO', 'replication')
  local line = type(info) == 'string' and info:match('master_replid:(%x%x%x%x%x)') or '0'
  return tonumber(line, 16) * 4294967296 + stamp
end
local function run_stamp()
  stamp_of_call = stamp_of_call or ask_stamp()
  return stamp_of_call
end

-- The run for certain, or empty where the server does not tell. Not cheap: for when the stamp has changed.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and info:match('run_id:(%x+)') or ''
end
