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
if noted then
  local unit = cjson.decode(noted)
  if noted ~= ARGV[2] and unit.state ~= (ARGV[4] == '1' and 'used' or 'returned') then
    -- whoever is settling what is noted now may have found his row as it should be before ours changed it: by another
    -- mark he sees that he has to look again
    unit.noted = redis.sha1hex(noted)
    redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(unit))
  end
  return 0
end
local score = redis.call('ZSCORE', KEYS[3], ARGV[1])
if score and score ~= ARGV[4] then
  -- somebody else settled it otherwise meanwhile, and this row may have been written or deleted after his
  redis.call('HSET', KEYS[1], ARGV[1], score == '1' and ARGV[6] or ARGV[7])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
end
return 0
