-- Forget that a unit is unsettled, unless it was taken or given back since its row was written or deleted.
-- KEYS: 1 units  2 unsettled
-- ARGV: 1 unit id  2 score that the row stands for: 1 taken, 0 given back
-- Returns 1 when the row fits, 0 when it must be looked at again.
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
