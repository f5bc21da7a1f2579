-- Put an accepted run into the ledger and its message on the broker's list, both or neither.
-- KEYS: 1 job index  2 job hash  3 prioritized  4 wait  5 priority counter  6 events  7 meta  8 broker list
-- ARGV: 1 number  2 run id  3 round  4 priority  5 name  6 data (JSON)  7 opts (JSON)  8 message  9 bull job id
--       10 least attempt number on record  11 when it was accepted, in ms; '' for now
-- Returns {1, bull job id} when written, {0, bull job id} when this run or a later one stands there already, {2, ''}
--         when the number is another job's: other programs give numbers too.
local round = tonumber(redis.call('HGET', KEYS[1], 'round') or '0')
if round >= tonumber(ARGV[3]) then
  return {0, redis.call('HGET', KEYS[1], 'bull')}
end
if redis.call('HGET', KEYS[2], 'index') ~= KEYS[1] and redis.call('EXISTS', KEYS[2]) == 1 then return {2, ''} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
-- a clock that is ahead makes nobody wait less than no time
local accepted_ms = math.min(now_ms, tonumber(ARGV[11]) or now_ms)
local number, priority = ARGV[1], tonumber(ARGV[4])
redis.call('HSETNX', KEYS[7], 'concurrency', 0)
redis.call('HSETNX', KEYS[7], 'opts.maxLenEvents', 10000)
redis.call('HSET', KEYS[2], 'name', ARGV[5], 'data', ARGV[6], 'opts', ARGV[7], 'timestamp', accepted_ms, 'delay', 0,
  'priority', priority, 'progress', 0, 'ats', 0, 'atm', 0, 'attemptsMade', 0, 'index', KEYS[1])
local attempt = math.max(tonumber(redis.call('HGET', KEYS[1], 'attempt') or '0'), tonumber(ARGV[10]))
redis.call('HSET', KEYS[1], 'run', ARGV[2], 'round', ARGV[3], 'bull', ARGV[9], 'attempt', attempt)
if priority > 0 then
  local n = redis.call('INCR', KEYS[5])
  redis.call('ZADD', KEYS[3], string.format('%.0f', priority * 4294967296 + n % 4294967296), number)
else
  redis.call('LPUSH', KEYS[4], number)
end
redis.call('XADD', KEYS[6], 'MAXLEN', '~', 10000, '*', 'event', 'added', 'jobId', number, 'name', ARGV[5])
redis.call('XADD', KEYS[6], 'MAXLEN', '~', 10000, '*', 'event', 'waiting', 'jobId', number)
redis.call('LPUSH', KEYS[8], ARGV[8])
return {1, ARGV[9]}
