--[[ snippet/run.lua: is this still the server that was asked last time? Shared by the alarm (lsn) and by pace.

  Why a snippet  Both distrust what an earlier run wrote, and must agree on when one ended.
  Decides        Nothing. ]]

-- The instant of the server's last save, which is that of its start where it saves nothing: another value
-- may mean another run of it. A server that does not tell runs for ever. Cheap enough for every call; nothing
-- that a script sees of it changes while the script runs.
local stamp_of_call
local function run_stamp()
  if not stamp_of_call then
    local stamp = redis.pcall('LASTSAVE')
    stamp_of_call = type(stamp) == 'number' and stamp or 0
  end
  return stamp_of_call
end

-- The run for certain, or empty where the server does not tell. Not cheap: for when the stamp has changed.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and info:match('run_id:(%x+)') or ''
end
