-- Say that the job of a unit has ended: whether it counts, and that the records shall show it.
-- KEYS: 1 unsettled  2 due  3 units; left out where the unit's billing cycle is not known yet
-- ARGV: 1 unit id  2 the unit (JSON)  3 now, in s since 1970  4 score: 1 taken, 0 given back  5 time to live in s
-- Returns 1, or 0 when the records show it already.
if KEYS[3] then
  local stands = redis.call('ZSCORE', KEYS[3], ARGV[1]) == ARGV[4]
  if stands and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
  redis.call('EXPIRE', KEYS[3], ARGV[5])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
