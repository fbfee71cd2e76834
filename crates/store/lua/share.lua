--[[ share.lua: shares a group of events out among the outboxes of endpoints.

  Why a script   The place in the stream moves on together with the outboxes that were filled, or not at
                 all: between plain commands a crash loses an event or tells it twice. Whether an endpoint
                 still wants it, and whether its outbox has room, is judged in the same instant.
  Caller         Store::share_out (src/hooks/share.rs) by the one notifier that holds the lock, which must
                 not be trusted to be the only one; and, without a place, replays and tests.
  Decides        Nothing. Rust chose who is told what.

  KEYS  named by index in ARGV 1

  ARGV  1 facts  JSON:
            read, was, is   the place: its key, where the caller found it, where it moves; absent: none moves
            due, lease, wake, pending   of the endpoints' tickets
            max, kept_ms    entries of one outbox; how long a full one is kept
            outs  one per endpoint: {hook, box, id, at (ms of its first entry), list (entries),
                  fresh (configuration of an endpoint that a job brought with it)}
            once  {key, field, value, outs, entry, busy}: told only if the field has another value so far, and if
                  no upload in `busy` has a lease
            news  {list, raw, entry, outs}: told only if `raw` still stands in the list, from which it goes
            uploads, looked   key of the batches to look after, and those that were: {member, due, busy}; one that
                  is busy is due again when its lease ends, the others go unless they came anew

  Reply {"shared", ids of endpoints that were switched off because their outbox is full}
        {"moved", place}   somebody else shared this group out: nothing written

  Safe to repeat: with a place, the second call finds it moved.
  Cost: O(entries + endpoints × log n); at most 200 events, 1,000 entries and 64 batches; news are
  found in a list of at most 10,000, in front. ]]

local f = cjson.decode(ARGV[1])
local now = math.floor(now_us() / 1000)
if f.read then
  local was = redis.call('GET', KEYS[f.read])
  if was ~= f.was then return {'moved', was or ''} end
  redis.call('SET', KEYS[f.read], f.is)
end

for _, o in ipairs(f.once) do
  local busy = redis.call('ZCOUNT', KEYS[o.busy], '(' .. now, '+inf') > 0
  if not busy and redis.call('HGET', KEYS[o.key], o.field) ~= o.value then
    redis.call('HSET', KEYS[o.key], o.field, o.value)
    for _, out in ipairs(o.outs) do table.insert(f.outs[out].list, o.entry) end
  end
end

for _, n in ipairs(f.news) do
  if redis.call('LREM', KEYS[n.list], 1, n.raw) == 1 then
    for _, out in ipairs(n.outs) do table.insert(f.outs[out].list, n.entry) end
  end
end

for _, l in ipairs(f.looked) do
  if tonumber(redis.call('ZSCORE', KEYS[f.uploads], l.member) or -1) == l.due then
    local last = redis.call('ZRANGE', KEYS[l.busy], 0, 0, 'REV', 'WITHSCORES')[2]
    if last and tonumber(last) > now then
      redis.call('ZADD', KEYS[f.uploads], last, l.member)
    else
      redis.call('ZREM', KEYS[f.uploads], l.member)
    end
  end
end

local full = {}
for _, o in ipairs(f.outs) do
  if o.fresh and redis.call('HSETNX', KEYS[o.hook], 'config', o.fresh) == 1 then
    redis.call('HSET', KEYS[o.hook], 'rev', 1)
  end
  if o.fresh then redis.call('PEXPIRE', KEYS[o.hook], f.kept_ms) end
  local had = redis.call('HMGET', KEYS[o.hook], 'config', 'off')
  if #o.list > 0 and had[1] and not had[2] then
    if redis.call('LLEN', KEYS[o.box]) + #o.list > f.max then
      local off = {at = now, why = 'full'}
      redis.call('HSET', KEYS[o.hook], 'off', cjson.encode(off))
      redis.call('PEXPIRE', KEYS[o.box], f.kept_ms)
      redis.call('ZREM', KEYS[f.pending], o.id)
      full[#full + 1] = o.id
    else
      redis.call('RPUSH', KEYS[o.box], unpack(o.list))
      if o.fresh then redis.call('PEXPIRE', KEYS[o.box], f.kept_ms) end
      redis.call('ZADD', KEYS[f.pending], 'NX', o.at, o.id)
      if not redis.call('ZSCORE', KEYS[f.lease], o.id) and redis.call('ZADD', KEYS[f.due], 'NX', now, o.id) == 1 then
        wake(f.wake)
      end
    end
  end
end
return {'shared', unpack(full)}
