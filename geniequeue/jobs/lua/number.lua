-- Give a queue's next number to a job that has no run yet.
-- KEYS: 1 counter of the queue  2 job index; left out where a further number is wanted whatever stands there
-- ARGV: 1 first part of the queue's job hashes
-- Returns {number}, or {0, run id, round, bull job id} of the job's latest run.
if KEYS[2] then
  local known = redis.call('HMGET', KEYS[2], 'run', 'round', 'bull')
  if known[1] then return {0, known[1], known[2], known[3]} end
end
-- a number is never given twice: BullMQ's `obliterate` starts the counter again, whatever it leaves behind
local number
repeat number = redis.call('INCR', KEYS[1]) until redis.call('EXISTS', ARGV[1] .. number) == 0
return {number}
