-- Forget that a unit is unsettled, now that its row is written or deleted, unless it has changed since it was read.
-- KEYS: 1 unsettled  2 due  3 units
-- ARGV: 1 unit id  2 the unit as it was read (JSON)  3 when it was read, in s since 1970
--       4 score that the row stands for: 1 taken, 0 given back  5 time to live in s
--       6 the unit as taken (JSON)  7 the unit as given back (JSON)
-- Returns 1 when the row fits, 0 when the unit must be looked at again.
local noted = redis.call('HGET', KEYS[1], ARGV[1])
local due_s = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)
if noted == ARGV[2] and due_s <= tonumber(ARGV[3]) then
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
  redis.call('EXPIRE', KEYS[3], ARGV[5])
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 1
end
local score = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not noted and score and score ~= ARGV[4] then
  -- somebody else settled it otherwise meanwhile, and this row may have been written or deleted after his
  redis.call('HSET', KEYS[1], ARGV[1], score == '1' and ARGV[6] or ARGV[7])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
end
return 0
