--[[ snippet/tomb.lua: ways that lead to archived jobs, shared by create and commit.

  Why a snippet  A way that one of them does not know is a request that is bought again, or a task with two owners.
  Decides        Nothing. ]]

-- The job that a field {key, field} of a hash of tombstones names, and what stands behind its name.
local function buried(at)
  local text = redis.call('HGET', KEYS[at[1]], at[2])
  if text then return 'job_' .. text:sub(1, 26), text:sub(27) end
end
