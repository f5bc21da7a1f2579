-- Give a job to one worker and move it to active.
-- KEYS: 1 job index  2 job hash  3 lock  4 prioritized  5 wait  6 delayed  7 active  8 completed  9 failed  10 events
--       11 meta  12 paused  13 metrics
-- ARGV: 1 number  2 run id  3 worker  4 lease in ms  5 holder  6 a word of this call alone: the same call again, because
--       the first answer was lost, gets the same answer
-- Returns {'given', attempt, tries, losses, killed for}, or {'unknown'}, {'final'}, {'stale'}, {'paused'}, {'leased'},
--         {'delayed'} for one that is not due: whoever sends it when it is due sends another message.
-- include metrics
local function dropped(why)
  count('messages_dropped', why)
  return {why}
end
-- the hash must be this job's: after `obliterate` or FLUSHALL numbers are given anew
if redis.call('HGET', KEYS[2], 'index') ~= KEYS[1] then return dropped('unknown') end
if redis.call('ZSCORE', KEYS[8], ARGV[1]) or redis.call('ZSCORE', KEYS[9], ARGV[1]) then return dropped('final') end
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[2] then return dropped('stale') end
local function given(attempt, tries)
  local about = redis.call('HMGET', KEYS[2], 'stc', 'killed')
  return {'given', tonumber(attempt), tonumber(tries), tonumber(about[1] or '0'), about[2] or ''}
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  if redis.call('HGET', KEYS[1], 'asked') ~= ARGV[6] then return dropped('leased') end
  return given(redis.call('HGET', KEYS[1], 'attempt'), redis.call('HGET', KEYS[2], 'ats'))
end
if redis.call('HEXISTS', KEYS[11], 'paused') == 1 then return {'paused'} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZSCORE', KEYS[6], ARGV[1])
if due and math.floor(due / 4096) > now_ms then return dropped('delayed') end
local began = redis.call('HGET', KEYS[2], 'processedOn')
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
local tries = redis.call('HINCRBY', KEYS[2], 'ats', 1)
redis.call('HSET', KEYS[1], 'asked', ARGV[6], 'holder', ARGV[5])
redis.call('SET', KEYS[3], attempt .. ':' .. ARGV[5], 'PX', ARGV[4])
if redis.call('ZREM', KEYS[4], ARGV[1]) + redis.call('ZREM', KEYS[6], ARGV[1]) == 0 then
  redis.call('LREM', KEYS[5], 0, ARGV[1])
  redis.call('LREM', KEYS[12], 0, ARGV[1])
  redis.call('LREM', KEYS[7], 0, ARGV[1])
end
redis.call('LPUSH', KEYS[7], ARGV[1])
redis.call('HSET', KEYS[2], 'processedOn', now_ms, 'pb', ARGV[3], 'progress', 0, 'delay', 0)
redis.call('XADD', KEYS[10], 'MAXLEN', '~', 10000, '*', 'event', 'active', 'jobId', ARGV[1], 'prev', 'waiting')
count('attempts')
-- a try that did not count may be followed by another first one
if tries == 1 and not began then observe('wait_s', (now_ms - (redis.call('HGET', KEYS[2], 'timestamp') or now_ms)) / 1000, -4, 13) end
return given(attempt, tries)
