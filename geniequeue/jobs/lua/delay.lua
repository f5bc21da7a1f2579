-- Put an active job off until a time; the sweeper sends its message when that has come.
-- KEYS: 1 job index  2 job hash  3 lock  4 active  5 delayed  6 events  7 metrics
-- ARGV: 1 number  2 attempt  3 delay in ms  4 reason, a sentence  5 '1' when the try counts, '0' when it is as if it had
--       not begun  6 the reason as a word, '' for none
-- Returns the due time in ms, or 0 when a newer attempt exists or the job is not active.
-- include metrics
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[2] then return 0 end
if redis.call('HGET', KEYS[2], 'index') ~= KEYS[1] then return 0 end
-- again, because the first answer was lost
local due = redis.call('ZSCORE', KEYS[5], ARGV[1])
if due then return math.floor(due / 4096) end
if redis.call('HGET', KEYS[1], 'over') == ARGV[2] then return 0 end
if redis.call('LREM', KEYS[4], 0, ARGV[1]) == 0 then return 0 end
-- the lease is not renewed any more
redis.call('HSET', KEYS[1], 'over', ARGV[2])
local time = redis.call('TIME')
local due_ms = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3])
redis.call('DEL', KEYS[3])
redis.call('ZADD', KEYS[5], string.format('%.0f', due_ms * 4096), ARGV[1])
if ARGV[5] == '1' then
  redis.call('HINCRBY', KEYS[2], 'atm', 1)
  redis.call('HINCRBY', KEYS[2], 'attemptsMade', 1)
else
  redis.call('HINCRBY', KEYS[2], 'ats', -1)
end
redis.call('HSET', KEYS[2], 'delay', ARGV[3], 'failedReason', ARGV[4], 'why', ARGV[6])
-- how often, and since when it comes to nothing
redis.call('HSETNX', KEYS[2], 'offSince', due_ms - tonumber(ARGV[3]))
redis.call('HINCRBY', KEYS[2], 'offs', 1)
redis.call('XADD', KEYS[6], 'MAXLEN', '~', 10000, '*', 'event', 'delayed', 'jobId', ARGV[1],
  'delay', string.format('%.0f', due_ms))
count('put_off', ARGV[5] == '1' and 'yes' or 'no')
return due_ms
