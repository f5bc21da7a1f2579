-- Count every queue and read what belongs beside it, in one instant.
-- KEYS: 1 what the workers said  2 taxonomy cache; then per queue 1 wait  2 paused  3 prioritized  4 active  5 delayed
--       6 counts
-- Returns {what the workers said or '', {hits, misses, size},
--          then per queue {waiting, active, completed, failed, delayed, cancelled}}.
local function whole(values)
  for i = 1, 3 do values[i] = tonumber(values[i] or '0') end
  return values
end
local out = {redis.call('GET', KEYS[1]) or '', whole(redis.call('HMGET', KEYS[2], 'hits', 'misses', 'size'))}
for i = 3, #KEYS, 6 do
  local counts = whole(redis.call('HMGET', KEYS[i + 5], 'completed', 'failed', 'cancelled'))
  out[#out + 1] = {
    redis.call('LLEN', KEYS[i]) + redis.call('LLEN', KEYS[i + 1]) + redis.call('ZCARD', KEYS[i + 2]),
    redis.call('LLEN', KEYS[i + 3]), counts[1], counts[2], redis.call('ZCARD', KEYS[i + 4]), counts[3]
  }
end
return out
