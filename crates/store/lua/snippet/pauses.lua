--[[ snippet/pauses.lua: pauses by people, for the scripts that hand work out and the one that begins attempts.

  Why a snippet  A pause that one of them overlooked would be none; and only the server's clock ends it, so that
                 none has to be cleared.
  Decides        Nothing: who pauses what, and for how long, is a person's word. ]]

-- Of each field of the hash of pauses: whether it holds now.
local function paused_each(key, fields, now)
  local held, any = {}, false
  for i, value in ipairs(redis.call('HMGET', KEYS[key], unpack(fields))) do
    local till = value and tonumber(value:match('^(%d+) '))
    held[i] = till ~= nil and till ~= false and (till == 0 or till > now)
    any = any or held[i]
  end
  return held, any
end
