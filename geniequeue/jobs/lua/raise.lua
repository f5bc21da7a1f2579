-- Raise the counters of a queue to what is on record; none is lowered.
-- KEYS: 1 counts
-- ARGV: names and numbers by turns
-- Returns nothing.
for i = 1, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0') < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
