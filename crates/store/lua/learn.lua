--[[ learn.lua: one more generation time of a class of tasks.

  Why a script   Old times fade when there are many: all buckets are halved together.
  Caller         Store::learn (src/times.rs), from the poller that saw the end.
  Decides        Nothing.

  KEYS  1 times  hash  bucket by its number, `n` samples in all

  ARGV  1 bucket   number of the bucket
        2 most     samples at which all are halved
        3 kept_ms  how long the class is kept after its last sample

  Reply samples in all

  Safe to repeat: a sample counted twice does no harm.
  Cost: O(1); O(buckets) when halved. ]]

redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
if n >= tonumber(ARGV[2]) then
  local all = redis.call('HGETALL', KEYS[1])
  n = 0
  for i = 1, #all, 2 do
    if all[i] ~= 'n' then
      local half = math.floor(tonumber(all[i + 1]) / 2)
      if half > 0 then redis.call('HSET', KEYS[1], all[i], half) else redis.call('HDEL', KEYS[1], all[i]) end
      n = n + half
    end
  end
  redis.call('HSET', KEYS[1], 'n', n)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return n
