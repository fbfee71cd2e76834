--[[ deliver.lua: writes down what became of one delivery, and hands the next entry out.

  Why a script   The entry leaves the outbox, the log gets its line and the ticket its next instant in one
                 step, and only for the holder of the fence: a notifier that was paused must not take away
                 what its successor is sending.
  Caller         Store::delivered (src/hooks/deliver.rs).
  Decides        Nothing. Rust chose what the answer means.

  KEYS  1 hook     hash    the endpoint
        2 outbox   list    its entries, oldest first
        3 log      stream  its deliveries
        4 due      zset    endpoint by due time, Unix ms
        5 lease    zset    endpoint by end of lease, Unix ms
        6 holder   hash    endpoint to claim fence
        7 wake     list    at most one token
        8 pending  zset    endpoint by the instant of its oldest entry, Unix ms
        9 audit    list    alarms

  ARGV  1 facts  JSON: id, fence, entry (the one delivered), end ("done", "again", "off"), why, tries,
                 delay (ms until the next try), lease_ms, more (the caller goes on with the next entry),
                 line (fields of the log), lines_max, kept_ms (how long the outbox of one that is off
                 and the log of one that a job brought along stay),
                 alarm (words for a person; absent: none)

  Reply {"next", entry}   the caller keeps the ticket and delivers this one
        {"released"}      the ticket went back, or away
        {"fenced"}        the ticket is somebody else's: nothing written

  Safe to repeat: an entry leaves only while it is the first one; the log may show a line twice.
  Cost: O(log n). ]]

local f = cjson.decode(ARGV[1])
if redis.call('HGET', KEYS[6], f.id) ~= f.fence then return {'fenced'} end
local now = math.floor(now_us() / 1000)
if #f.line > 0 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', f.lines_max, '*', unpack(f.line))
  -- What a job brought along passes with time, or is gone; its log is not kept for longer than that.
  if redis.call('PTTL', KEYS[1]) ~= -1 then redis.call('PEXPIRE', KEYS[3], f.kept_ms) end
end
local there = redis.call('EXISTS', KEYS[1]) == 1

if f['end'] == 'done' then
  if redis.call('LINDEX', KEYS[2], 0) == f.entry then redis.call('LPOP', KEYS[2]) end
  redis.call('HDEL', KEYS[1], 'tries', 'next', 'why')
elseif f['end'] == 'again' and there then
  redis.call('HSET', KEYS[1], 'tries', f.tries, 'next', now + f.delay, 'why', f.why)
elseif f['end'] == 'off' and there then
  redis.call('HSET', KEYS[1], 'off', cjson.encode({at = now, why = f.why}), 'tries', f.tries)
  redis.call('PEXPIRE', KEYS[2], f.kept_ms)
end
if f.alarm then
  audit_line(KEYS[9], now, 'webhook_disabled', 'notifier', f.alarm)
end

local head = there and redis.call('HEXISTS', KEYS[1], 'off') == 0 and redis.call('LINDEX', KEYS[2], 0)
if head then
  redis.call('ZADD', KEYS[8], cjson.decode(head).at, f.id)
else
  redis.call('ZREM', KEYS[8], f.id)
end
if f['end'] == 'done' and head and f.more then
  redis.call('ZADD', KEYS[5], now + f.lease_ms, f.id)
  return {'next', head}
end
redis.call('ZREM', KEYS[5], f.id)
redis.call('HDEL', KEYS[6], f.id)
if head then
  redis.call('ZADD', KEYS[4], f['end'] == 'again' and now + f.delay or now, f.id)
  if f['end'] ~= 'again' and redis.call('LLEN', KEYS[7]) == 0 then redis.call('LPUSH', KEYS[7], '1') end
end
return {'released'}
