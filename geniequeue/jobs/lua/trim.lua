-- Forget the oldest final jobs beyond a number or an age, a batch at a time.
-- KEYS: 1 completed or failed
-- ARGV: 1 keep count  2 keep ms  3 job key prefix  4 batch
-- Returns how many were forgotten.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local too_many = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
local surplus
if too_many > 0 then
  surplus = redis.call('ZRANGE', KEYS[1], 0, math.min(tonumber(ARGV[4]), too_many) - 1)
else
  surplus = redis.call('ZRANGEBYSCORE', KEYS[1], 0, now_ms - tonumber(ARGV[2]), 'LIMIT', 0, ARGV[4])
end
for _, number in ipairs(surplus) do
  local index = redis.call('HGET', ARGV[3] .. number, 'index')
  if index and redis.call('HGET', index, 'bull') == ARGV[3] .. number then
    redis.call('DEL', index)
  end
  redis.call('ZREM', KEYS[1], number)
  redis.call('DEL', ARGV[3] .. number, ARGV[3] .. number .. ':logs')
end
return #surplus
