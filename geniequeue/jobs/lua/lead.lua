-- Take or keep the lead of the sweepers.
-- KEYS: 1 sweeper's lock  2 counter of leads
-- ARGV: 1 the lock that may be replaced, '' for none  2 holder  3 how long it stands in ms
-- Returns the token of the lead, or '' when somebody else has it.
local standing = redis.call('GET', KEYS[1])
if standing and string.match(standing, '^%d+:(.*)$') == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return standing
end
if standing and standing ~= ARGV[1] then
  -- the clock was set back: nobody leads for longer than this
  if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  return ''
end
local token = redis.call('INCR', KEYS[2]) .. ':' .. ARGV[2]
redis.call('SET', KEYS[1], token, 'PX', ARGV[3])
return token
