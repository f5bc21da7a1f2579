-- Fail what another program has put onto a queue of ours, for nobody would ever work on it.
-- KEYS: 1 job hash  2 lock  3 prioritized  4 wait  5 paused  6 delayed  7 active  8 failed  9 events  10 sweeper's lock
-- ARGV: 1 number  2 reason  3 token of the sweeper
-- Returns 'refused', 'ours', 'leased' while a Worker of BullMQ works on it, 'elsewhere' when it lies nowhere, 'not leader'.
if redis.call('GET', KEYS[10]) ~= ARGV[3] then return 'not leader' end
if redis.call('HEXISTS', KEYS[1], 'index') == 1 then return 'ours' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'leased' end
local found = redis.call('ZREM', KEYS[3], ARGV[1]) + redis.call('LREM', KEYS[4], 0, ARGV[1])
  + redis.call('LREM', KEYS[5], 0, ARGV[1]) + redis.call('ZREM', KEYS[6], ARGV[1])
  + redis.call('LREM', KEYS[7], 0, ARGV[1])
if found == 0 then return 'elsewhere' end
-- an id without a job is a left-over, and there is nothing to fail
if redis.call('EXISTS', KEYS[1]) == 0 then return 'refused' end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'failedReason', ARGV[2], 'finishedOn', now_ms)
redis.call('ZADD', KEYS[8], now_ms, ARGV[1])
redis.call('XADD', KEYS[9], 'MAXLEN', '~', 10000, '*', 'event', 'failed', 'jobId', ARGV[1],
  'failedReason', ARGV[2], 'prev', 'waiting')
return 'refused'
