-- Renew the lease of a job, or take it again where it was lost with Redis.
-- KEYS: 1 job index  2 job hash  3 lock  4 prioritized  5 wait  6 delayed  7 active  8 completed  9 failed  10 cancel flag
-- ARGV: 1 number  2 attempt, or '' for whatever the lock says  3 holder  4 lease in ms
-- Returns {'ok', attempt}, {'cancel', attempt} when somebody asked for the job to stop and the attempt does not know yet, {'none'} when the holder has no
-- lease yet, {'lost'} when the attempt may not write any more.
local attempt = ARGV[2]
local lock = redis.call('GET', KEYS[3])
if lock then
  local number, holder = string.match(lock, '^(%d+):(.*)$')
  if holder ~= ARGV[3] or (attempt ~= '' and number ~= attempt) then
    if attempt == '' then return {'none'} end
    return {'lost'}
  end
  attempt = number
elseif attempt == '' then
  -- Redis was away before the first renewal: the job is active, and nobody else's since
  if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[3] or not redis.call('LPOS', KEYS[7], ARGV[1]) then return {'none'} end
  attempt = redis.call('HGET', KEYS[1], 'attempt')
end
local known = redis.call('HMGET', KEYS[1], 'attempt', 'over', 'heeded')
if tonumber(known[1] or '0') > tonumber(attempt) or known[2] == attempt then return {'lost'} end
local entry = redis.call('HGET', KEYS[2], 'index') == KEYS[1]
if entry and (redis.call('ZSCORE', KEYS[8], ARGV[1]) or redis.call('ZSCORE', KEYS[9], ARGV[1])) then return {'lost'} end
-- first what a Redis whose memory is full lets through; after one write it lets a script finish
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('HSET', KEYS[1], 'attempt', attempt)
redis.call('SET', KEYS[3], attempt .. ':' .. ARGV[3], 'PX', ARGV[4])
-- the entry came back from the records as waiting, or a BullMQ client moved it
if entry and not redis.call('LPOS', KEYS[7], ARGV[1]) then
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZREM', KEYS[6], ARGV[1])
  redis.call('LREM', KEYS[5], 0, ARGV[1])
  redis.call('LPUSH', KEYS[7], ARGV[1])
end
if redis.call('EXISTS', KEYS[10]) == 1 and known[3] ~= attempt then return {'cancel', attempt} end
return {'ok', attempt}
