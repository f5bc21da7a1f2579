-- Count requests ahead, as many as there is room for.
-- KEYS: 1 when the requests counted so far are used up, in us of Redis time
-- ARGV: 1 us that a request uses up  2 us that may be used up ahead  3 how many are wanted
-- Returns how many were counted, or minus the ms to wait until one can be.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local used_us = tonumber(redis.call('GET', KEYS[1]) or 0)
-- nobody gets that far ahead; the clock was set back
if used_us > now_us + ARGV[2] then used_us = 0 end
used_us = math.max(used_us, now_us)
local room_us = now_us + ARGV[2] - used_us
if room_us < tonumber(ARGV[1]) then return -math.ceil((ARGV[1] - room_us) / 1000) end
local counted = math.min(math.floor(room_us / ARGV[1]), tonumber(ARGV[3]))
used_us = used_us + counted * ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', used_us), 'PX', math.ceil((used_us - now_us) / 1000))
return counted
