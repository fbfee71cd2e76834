--[[ snippet/whole.lua: no script runs in a slot that is on its way to another node. Put before every script that is
  sent to servers that take over for each other (src/script.rs), which those of a Redis Cluster are.

  Why a snippet  While a slot moves, each call of a script is judged by itself: one that names a key that is not here,
                 be it that it went ahead or that there is none, fails in the middle and leaves half of what belongs
                 together. Redis looks at the keys of a script before it begins, and not at what it will do to them.
  Decides        Nothing: whole, or later. ]]

do
  -- Two keys that nobody has: a part of a key holds no space. The node that gives the slot away has not got the first,
  -- the one that receives it has not got both; any other says that there are none.
  local none = redis.pcall('EXISTS', KEYS[1] .. ' ', KEYS[1] .. '  ')
  if type(none) ~= 'number' then
    return redis.error_reply('TRYAGAIN no script runs in a slot that moves: ' .. tostring(none.err))
  end
end
