-- Send the message of a job again that waits without one; a delayed one that is due waits from now on.
-- KEYS: 1 job index  2 job hash  3 lock  4 prioritized  5 wait  6 delayed  7 events  8 broker list  9 sweeper's lock
--       last: metrics
-- ARGV: 1 number  2 message  3 token of the sweeper, '' for another caller
-- Returns 'sent', 'leased' when somebody holds it, 'not due', 'elsewhere' when it does not wait, 'not leader'.
-- include metrics
if ARGV[3] ~= '' and redis.call('GET', KEYS[9]) ~= ARGV[3] then return 'not leader' end
if redis.call('HGET', KEYS[2], 'index') ~= KEYS[1] then return 'elsewhere' end
if redis.call('EXISTS', KEYS[3]) == 1 then return 'leased' end
local due = redis.call('ZSCORE', KEYS[6], ARGV[1])
if due then
  local time = redis.call('TIME')
  if math.floor(due / 4096) > time[1] * 1000 + math.floor(time[2] / 1000) then return 'not due' end
  redis.call('ZREM', KEYS[6], ARGV[1])
  local priority = tonumber(redis.call('HGET', KEYS[2], 'priority') or '0')
  if priority > 0 then
    redis.call('ZADD', KEYS[4], string.format('%.0f', priority * 4294967296), ARGV[1])
  else
    redis.call('RPUSH', KEYS[5], ARGV[1])
  end
  redis.call('HSET', KEYS[2], 'delay', 0)
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', 10000, '*', 'event', 'waiting', 'jobId', ARGV[1], 'prev', 'delayed')
elseif not redis.call('ZSCORE', KEYS[4], ARGV[1]) and not redis.call('LPOS', KEYS[5], ARGV[1]) then
  return 'elsewhere'
end
redis.call('RPUSH', KEYS[8], ARGV[2])
count('resent', due and 'due' or 'message_lost')
return 'sent'
