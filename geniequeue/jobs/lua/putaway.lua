-- Put a job that has ended back to its final set: a tool of BullMQ made it wait again. It was counted when it ended.
-- KEYS: 1 job index  2 job hash  3 lock  4 prioritized  5 wait  6 paused  7 completed  8 failed  9 events
-- ARGV: 1 number  2 outcome: completed, failed, cancelled  3 returnvalue (JSON)  4 failed reason  5 when it ended in ms
-- Returns 'away', 'leased' when somebody holds it, 'elsewhere' when it does not wait.
if redis.call('HGET', KEYS[2], 'index') ~= KEYS[1] then return 'elsewhere' end
if redis.call('EXISTS', KEYS[3]) == 1 then return 'leased' end
local found = redis.call('ZREM', KEYS[4], ARGV[1]) + redis.call('LREM', KEYS[5], 0, ARGV[1])
  + redis.call('LREM', KEYS[6], 0, ARGV[1])
if found == 0 then return 'elsewhere' end
redis.call('HSET', KEYS[2], 'returnvalue', ARGV[3], 'finishedOn', ARGV[5])
if ARGV[2] == 'completed' then
  redis.call('ZADD', KEYS[7], ARGV[5], ARGV[1])
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', 10000, '*', 'event', 'completed', 'jobId', ARGV[1],
    'returnvalue', ARGV[3], 'prev', 'waiting')
else
  redis.call('HSET', KEYS[2], 'failedReason', ARGV[4])
  redis.call('ZADD', KEYS[8], ARGV[5], ARGV[1])
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', 10000, '*', 'event', 'failed', 'jobId', ARGV[1],
    'failedReason', ARGV[4], 'prev', 'waiting')
end
return 'away'
