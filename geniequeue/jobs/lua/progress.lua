-- Write the progress of the attempt that holds the job.
-- KEYS: 1 job index  2 job hash  3 events  4 cancel flag  5 completed  6 failed
-- ARGV: 1 number  2 attempt  3 percent, '' to write nothing
-- Returns 'ok', 'cancel' when somebody asked for the job to stop, 'stale' when a newer attempt or an end exists.
local known = redis.call('HMGET', KEYS[1], 'attempt', 'over')
-- nothing is known after FLUSHALL, and the records still want the result
if (known[1] and known[1] ~= ARGV[2]) or known[2] == ARGV[2] then return 'stale' end
-- the hash may be gone or another job's after `obliterate`; the attempt goes on, for the records still want its result
if redis.call('HGET', KEYS[2], 'index') == KEYS[1] then
  if redis.call('ZSCORE', KEYS[5], ARGV[1]) or redis.call('ZSCORE', KEYS[6], ARGV[1]) then return 'stale' end
  if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[2], 'progress', ARGV[3])
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*', 'event', 'progress', 'jobId', ARGV[1], 'data', ARGV[3])
  end
end
if redis.call('EXISTS', KEYS[4]) == 1 then
  -- the main process kills only what does not know
  redis.call('HSET', KEYS[1], 'heeded', ARGV[2])
  return 'cancel'
end
return 'ok'
