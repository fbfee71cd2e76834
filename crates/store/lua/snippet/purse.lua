--[[ snippet/purse.lua: caps of spending, looked at where an attempt begins. For commit.

  Why a snippet  What is looked at and what is written down with the intent must be one step, or two processes
                 would both take the last of a cap.
  Decides        Nothing: caps come from the configuration or from the batch, the cost was told at admission.
  A purse        {of (a word), spent (key of the sums), day (field), kept (days), micros, day_max, total_max,
                 caps (key of the batch that has caps of its own)}; 0: no cap. ]]

-- The cap that `micros` more would pass, as a reply, or nothing.
local function over_budget(purses)
  for _, p in ipairs(purses) do
    local most = {p.day_max, p.total_max}
    if p.caps then most = redis.call('HMGET', KEYS[p.caps], 'buy_day_max', 'buy_total_max') end
    local had = redis.call('HMGET', KEYS[p.spent], p.day, 'total')
    p.first = not had[1]
    for i, span in ipairs({'day', 'total'}) do
      local max, spent = tonumber(most[i] or 0), math.max(tonumber(had[i] or 0), 0)
      if max > 0 and spent + p.micros > max then
        return {'over_budget', p.of, span, string.format('%.0f', max), string.format('%.0f', spent)}
      end
    end
  end
end

-- The first attempt of a day drops the days that nobody reads any more.
local function forget_days(purses)
  for _, p in ipairs(purses) do
    if p.first then
      for _, field in ipairs(redis.call('HKEYS', KEYS[p.spent])) do
        local day = tonumber(field)
        if day and day <= tonumber(p.day) - p.kept then redis.call('HDEL', KEYS[p.spent], field) end
      end
    end
  end
end
