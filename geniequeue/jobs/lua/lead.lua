-- Take, keep or give back the lead of one kind of work.
-- KEYS: 1 lock of the leader  2 counter of leads
-- ARGV: 1 the lock that may be replaced, '' for none  2 holder  3 how long it stands in ms, 0 to give it back
-- Returns the token of the lead, or '' when somebody else has it, or nobody any more.
-- a write, so that those notice too who do not lead when Redis refuses to write, and judge nobody then
redis.call('PERSIST', KEYS[2])
local standing = redis.call('GET', KEYS[1])
if standing and string.match(standing, '^%d+:(.*)$') == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return ARGV[3] == '0' and '' or standing
end
if ARGV[3] == '0' then return '' end
if standing and standing ~= ARGV[1] then
  -- the clock was set back: nobody leads for longer than this
  if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  return ''
end
local token = redis.call('INCR', KEYS[2]) .. ':' .. ARGV[2]
redis.call('SET', KEYS[1], token, 'PX', ARGV[3])
return token
