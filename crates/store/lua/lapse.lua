--[[ lapse.lua: takes the tombstone of a job away with the ways that lead to it.

  Why a script   A way without its tombstone answers an equal request with a job that nobody knows.
  Caller         Store::lapse (src/archive.rs), for tombstones that were kept for long enough.
  Decides        Nothing.

  KEYS  1…  named by index in ARGV 1

  ARGV  1 facts  JSON: tomb {key, field, text as the caller saw it}, ways (list of {tomb key, field}), media
                 (indexes of its inline media), id, short (the job id without its first letters)

  Reply "lapsed" | "changed"   the tombstone is another one, or is gone

  Safe to repeat: the second call changes nothing.
  Cost: O(log n) per medium, n being the jobs that need it. ]]

local f = cjson.decode(ARGV[1])
if redis.call('HGET', KEYS[f.tomb[1]], f.tomb[2]) ~= f.tomb[3] then return 'changed' end
for _, way in ipairs(f.ways) do
  if (redis.call('HGET', KEYS[way[1]], way[2]) or ''):sub(1, 26) == f.short then
    redis.call('HDEL', KEYS[way[1]], way[2])
  end
end
for _, key in ipairs(f.media) do redis.call('ZREM', KEYS[key], f.id) end
redis.call('HDEL', KEYS[f.tomb[1]], f.tomb[2])
return 'lapsed'
