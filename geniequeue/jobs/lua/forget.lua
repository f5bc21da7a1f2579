-- Look whether a run that the records call open lies in the ledger; on request, forget what is left of one that does
-- not, so that it can be accepted once more: Redis was emptied, or a tool of BullMQ has taken the job away.
-- KEYS: 1 job index  2 job hash  3 lock  4 prioritized  5 wait  6 paused  7 delayed  8 active  9 completed  10 failed
--       11 ended runs  12 lock of who restores
-- ARGV: 1 number  2 `<run>/<job>`  3 round  4 token of who restores, '' to look only
-- Returns 'there', also for one that has ended and is not closed yet, 'newer' when a later round is, 'missing', or
--         'not leader' for one who restored once.
if ARGV[4] ~= '' and redis.call('GET', KEYS[12]) ~= ARGV[4] then return 'not leader' end
local known = redis.call('HMGET', KEYS[1], 'round', 'bull')
local round = tonumber(known[1] or '0')
if round > tonumber(ARGV[3]) then return 'newer' end
if redis.call('SISMEMBER', KEYS[11], ARGV[2]) == 1 then return 'there' end
local ours = redis.call('HGET', KEYS[2], 'index') == KEYS[1]
if round == tonumber(ARGV[3]) then
  -- it got another number a moment ago
  if known[2] ~= KEYS[2] and redis.call('HGET', known[2], 'index') == KEYS[1] then return 'there' end
  if ours and (redis.call('EXISTS', KEYS[3]) == 1 or redis.call('ZSCORE', KEYS[4], ARGV[1])
      or redis.call('ZSCORE', KEYS[7], ARGV[1]) or redis.call('LPOS', KEYS[8], ARGV[1])
      or redis.call('LPOS', KEYS[5], ARGV[1]) or redis.call('LPOS', KEYS[6], ARGV[1])) then
    return 'there'
  end
end
if ARGV[4] == '' then return 'missing' end
-- the number of the attempt stays: it only grows
redis.call('HDEL', KEYS[1], 'run', 'round', 'bull')
if ours then
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[9], ARGV[1])
  redis.call('ZREM', KEYS[10], ARGV[1])
end
return 'missing'
