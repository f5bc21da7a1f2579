-- Give a queue's next number to a job that has no run yet.
-- KEYS: 1 counter of the queue  2 largest number of the queue  3 job index; left out where a further number is wanted
--       whatever stands there
-- ARGV: 1 first part of the queue's job hashes
-- Returns {number}, {0, run id, round, bull job id} of the job's latest run, or {-1} when this Redis does not know which
--         numbers the records have: it is new, or was emptied.
if KEYS[3] then
  local known = redis.call('HMGET', KEYS[3], 'run', 'round', 'bull')
  if known[1] then return {0, known[1], known[2], known[3]} end
end
local largest = redis.call('GET', KEYS[2])
if not largest then return {-1} end
-- BullMQ's `obliterate` starts the counter again
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(largest) then redis.call('SET', KEYS[1], largest) end
-- a number is never given twice, whatever other programs have added under numbers of their own
local number
repeat number = redis.call('INCR', KEYS[1]) until redis.call('EXISTS', ARGV[1] .. number) == 0
redis.call('SET', KEYS[2], string.format('%.0f', number))
return {number}
