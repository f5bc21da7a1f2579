-- Take a unit of one user's feature in one billing cycle, or look whether there is one left.
-- KEYS: 1 units: sorted set, score 1 taken, 0 given back; the member 'read' says that the records are in it
--       2 unsettled  3 due
-- ARGV: 1 unit id  2 limit, -1 for none  3 'take' or 'look'  4 time to live in s  5 the unit (JSON)
--       6 when to ask what became of it, in s since 1970  7 '1' when the ids follow that the records count  8… ids
-- Returns {'unread', 0} when the records must be read first; {'free', used} or {'full', used}; {'taken', used} now,
--         {'held', used} when it was taken before.
if ARGV[7] == '1' then
  -- what is known here is newer than what was read: a unit given back meanwhile stays given back
  for i = 8, #ARGV do redis.call('ZADD', KEYS[1], 'NX', 1, ARGV[i]) end
  redis.call('ZADD', KEYS[1], 2, 'read')
elseif not redis.call('ZSCORE', KEYS[1], 'read') then
  return {'unread', 0}
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
local used, limit = redis.call('ZCOUNT', KEYS[1], 1, 1), tonumber(ARGV[2])
local free = limit < 0 or used < limit
if ARGV[3] == 'look' then return {free and 'free' or 'full', used} end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == '1' then
  -- another request for the same job: it needs the unit for as long as the first did
  redis.call('ZADD', KEYS[3], 'XX', ARGV[6], ARGV[1])
  return {'held', used}
end
if not free then return {'full', used} end
redis.call('ZADD', KEYS[1], 1, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[5])
redis.call('ZADD', KEYS[3], ARGV[6], ARGV[1])
return {'taken', used + 1}
