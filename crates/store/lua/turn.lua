--[[ turn.lua: a batch is paused, or what is known of its conditions changes, if it stands as it was seen.

  Why a script   The mark that submitters heed, the operation that clears the queue, the line in the audit and the news
                 for webhooks are one thing: a process that is killed between them would leave a batch that stands
                 still and nobody is told, or that is stopped twice. And who resumed it meanwhile has the last word.
  Caller         Store::turn (src/turn.rs): people who pause, and the look at conditions (src/stop_on.rs).
  Decides        Nothing. Rust saw the counters and chose.

  KEYS  named by index in ARGV 1

  ARGV  1 facts  JSON:
            batch   the hash of the batch
            seen    {{field, value}, …}: written only while each field has this value; empty: while it is not there
            moves   plain writes
            news    {list, asked, entry, most}: told only where somebody asks for events; absent: no news

  Reply 1 written | 0 it stands otherwise by now: nothing written

  Safe to repeat: what it writes is no longer what was seen.
  Cost: O(log n), n being the batches of the pool. ]]

local f = cjson.decode(ARGV[1])
for _, seen in ipairs(f.seen) do
  if (redis.call('HGET', KEYS[f.batch], seen[1]) or '') ~= seen[2] then return 0 end
end
apply(f.moves)
if f.news and redis.call('EXISTS', KEYS[f.news.asked]) == 1 then
  redis.call('RPUSH', KEYS[f.news.list], f.news.entry)
  redis.call('LTRIM', KEYS[f.news.list], -f.news.most, -1)
end
return 1
