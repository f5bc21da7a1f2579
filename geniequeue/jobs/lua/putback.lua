-- Put an active job whose attempt is over back to the front of its queue, with a message.
-- KEYS: 1 job index  2 job hash  3 lock  4 prioritized  5 wait  6 active  7 events  8 broker list  9 sweeper's lock
--       last: metrics
-- ARGV: 1 number  2 the lock that may be taken away, '' when only a job without one is put back  3 message
--       4 '1' when a worker was lost with it, '0' when the attempt is as if it had not begun, '' otherwise
--       5 what is known about the end of the attempt, '' for nothing  6 what it was killed for, '' for nothing
--       7 token of the sweeper, '' for another caller
-- Returns 'back', 'leased' when somebody holds it, 'elsewhere' when it is not active, 'not leader' for an old sweeper.
-- include metrics
if ARGV[7] ~= '' and redis.call('GET', KEYS[9]) ~= ARGV[7] then return 'not leader' end
if redis.call('HGET', KEYS[2], 'index') ~= KEYS[1] then return 'elsewhere' end
local lock = redis.call('GET', KEYS[3])
if lock and lock ~= ARGV[2] then return 'leased' end
if redis.call('LREM', KEYS[6], 0, ARGV[1]) == 0 then return 'elsewhere' end
redis.call('DEL', KEYS[3])
-- the attempt may write no more, though no newer one has begun
redis.call('HSET', KEYS[1], 'over', redis.call('HGET', KEYS[1], 'attempt') or '0')
if ARGV[4] == '1' then redis.call('HINCRBY', KEYS[2], 'stc', 1) end
if ARGV[4] == '0' then redis.call('HINCRBY', KEYS[2], 'ats', -1) end
if ARGV[5] ~= '' then
  local told = cjson.decode(redis.call('HGET', KEYS[2], 'stacktrace') or '[]')
  told[#told + 1] = ARGV[5]
  redis.call('HSET', KEYS[2], 'stacktrace', cjson.encode(told))
end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'killed', ARGV[6]) end
local priority = tonumber(redis.call('HGET', KEYS[2], 'priority') or '0')
if priority > 0 then
  redis.call('ZADD', KEYS[4], string.format('%.0f', priority * 4294967296), ARGV[1])
else
  redis.call('RPUSH', KEYS[5], ARGV[1])
end
redis.call('XADD', KEYS[7], 'MAXLEN', '~', 10000, '*', 'event', 'waiting', 'jobId', ARGV[1], 'prev', 'active')
redis.call('RPUSH', KEYS[8], ARGV[3])
local by = ARGV[7] ~= '' and 'sweeper' or 'worker'
local why = ({['1'] = 'lost', ['0'] = by == 'sweeper' and 'lease_over' or 'handed_back'})[ARGV[4]] or 'killed'
count('put_back', by, ARGV[6] ~= '' and ARGV[6] or why)
return 'back'
