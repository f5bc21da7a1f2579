-- Read one job and the set it lies in, in one instant.
-- KEYS: 1 job hash  2 completed  3 failed  4 delayed  5 prioritized  6 active  7 wait  8 paused
-- ARGV: 1 number
-- Returns {state, field, value, …}, state '' when there is no such job or it lies in no set.
local fields = redis.call('HGETALL', KEYS[1])
local state = ''
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then state = 'completed'
elseif redis.call('ZSCORE', KEYS[3], ARGV[1]) then state = 'failed'
elseif redis.call('ZSCORE', KEYS[4], ARGV[1]) then state = 'delayed'
elseif redis.call('ZSCORE', KEYS[5], ARGV[1]) then state = 'waiting'
elseif redis.call('LPOS', KEYS[6], ARGV[1]) then state = 'active'
elseif redis.call('LPOS', KEYS[7], ARGV[1]) or redis.call('LPOS', KEYS[8], ARGV[1]) then state = 'waiting'
end
table.insert(fields, 1, state)
return fields
