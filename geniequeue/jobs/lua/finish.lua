-- Move a job to its final set and count it.
-- KEYS: 1 job index  2 job hash  3 lock  4 prioritized  5 wait  6 delayed  7 active  8 completed  9 failed  10 events
--       11 counts  12 cancel flag  13 paused  14 ended runs
--       last: metrics
-- ARGV: 1 number  2 attempt, or '' for a caller without one: then only a job that is not active is ended
--       3 outcome: completed, failed, cancelled  4 returnvalue (JSON)  5 failed reason
--       6 `<run>/<job>`, or '' for a run without a row
-- Returns 'ok', 'unknown', 'final', 'stale' when a newer attempt exists, 'active' when it is active and no attempt was given.
-- include metrics
-- the row of the run is closed later, with others
local function ended(answer)
  if ARGV[6] ~= '' then redis.call('SADD', KEYS[14], ARGV[6]) end
  return answer
end
-- the hash must be this job's: after `obliterate` or FLUSHALL numbers are given anew
if redis.call('HGET', KEYS[2], 'index') ~= KEYS[1] then return ended('unknown') end
if redis.call('ZSCORE', KEYS[8], ARGV[1]) or redis.call('ZSCORE', KEYS[9], ARGV[1]) then return ended('final') end
if ARGV[2] == '' then
  if redis.call('EXISTS', KEYS[3]) == 1 then return 'active' end
elseif redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[2] then
  return 'stale'
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local prev = 'waiting'
local was_active, was_delayed = redis.call('LREM', KEYS[7], 0, ARGV[1]), redis.call('ZREM', KEYS[6], ARGV[1])
if was_active > 0 then prev = 'active' elseif was_delayed > 0 then prev = 'delayed' end
if redis.call('ZREM', KEYS[4], ARGV[1]) + was_active + was_delayed == 0 then
  redis.call('LREM', KEYS[5], 0, ARGV[1])
  redis.call('LREM', KEYS[13], 0, ARGV[1])
end
redis.call('DEL', KEYS[3], KEYS[12])
if ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[2], 'atm', 1)
  redis.call('HINCRBY', KEYS[2], 'attemptsMade', 1)
end
redis.call('HSET', KEYS[2], 'finishedOn', now_ms)
redis.call('HINCRBY', KEYS[11], ARGV[3], 1)
local final = KEYS[9]
if ARGV[3] == 'completed' then
  final = KEYS[8]
  redis.call('HDEL', KEYS[2], 'failedReason')
  redis.call('HSET', KEYS[2], 'returnvalue', ARGV[4], 'progress', 100)
  redis.call('XADD', KEYS[10], 'MAXLEN', '~', 10000, '*', 'event', 'completed', 'jobId', ARGV[1],
    'returnvalue', ARGV[4], 'prev', prev)
else
  redis.call('HSET', KEYS[2], 'failedReason', ARGV[5], 'returnvalue', ARGV[4])
  redis.call('XADD', KEYS[10], 'MAXLEN', '~', 10000, '*', 'event', 'failed', 'jobId', ARGV[1],
    'failedReason', ARGV[5], 'prev', prev)
end
redis.call('ZADD', final, now_ms, ARGV[1])
local readable, about = pcall(cjson.decode, ARGV[4])
if not readable then about = {} end
count('jobs', ARGV[3], ARGV[3] == 'failed' and tostring(about.error) or '')
local started_ms = was_active > 0 and tonumber(redis.call('HGET', KEYS[2], 'processedOn') or '')
if started_ms then observe('run_s', (now_ms - started_ms) / 1000, -4, 13) end
if type(about.peak_memory_bytes) == 'number' then observe('peak_memory_bytes', about.peak_memory_bytes, 24, 32) end
return ended('ok')
