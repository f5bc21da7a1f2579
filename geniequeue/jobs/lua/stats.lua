-- Count every queue in one instant.
-- KEYS: per queue 1 wait  2 paused  3 prioritized  4 active  5 delayed  6 counts
-- Returns per queue {waiting, active, completed, failed, delayed, cancelled}.
local out = {}
for i = 1, #KEYS, 6 do
  local counts = redis.call('HMGET', KEYS[i + 5], 'completed', 'failed', 'cancelled')
  out[#out + 1] = {
    redis.call('LLEN', KEYS[i]) + redis.call('LLEN', KEYS[i + 1]) + redis.call('ZCARD', KEYS[i + 2]),
    redis.call('LLEN', KEYS[i + 3]),
    tonumber(counts[1] or '0'), tonumber(counts[2] or '0'),
    redis.call('ZCARD', KEYS[i + 4]),
    tonumber(counts[3] or '0')
  }
end
return out
