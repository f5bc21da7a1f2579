-- Forget that a unit is unsettled, now that its row is written or deleted, unless it has changed since it was read.
-- KEYS: 1 unsettled  2 due  3 units
-- ARGV: 1 unit id  2 the unit as it was read (JSON)  3 when it was read, in s since 1970
--       4 score that the row stands for: 1 taken, 0 given back  5 time to live in s
-- Returns 1 when the row fits, 0 when the unit must be looked at again.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0) > tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
redis.call('EXPIRE', KEYS[3], ARGV[5])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
