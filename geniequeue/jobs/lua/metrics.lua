-- Count for /metrics; included by scripts that count, whose second key is the job hash and whose last one the hash of
-- all numbers. `geniequeue/metrics.py` says what each field means. A number that cannot be counted stops no job.
local function number_of(name, ...)
  return table.concat({name, redis.call('HGET', KEYS[2], 'name') or '', ...}, '|')
end
local function count(name, ...) redis.pcall('HINCRBY', KEYS[#KEYS], number_of(name, ...), 1) end
-- A value of a histogram whose bounds are powers of two, 2^least to 2^most.
local function observe(name, value, least, most)
  local part, power = math.frexp(math.max(value, 1e-9))
  if part == 0.5 then power = power - 1 end
  redis.pcall('HINCRBY', KEYS[#KEYS], number_of(name, math.max(least, math.min(power, most + 1))), 1)
  redis.pcall('HINCRBYFLOAT', KEYS[#KEYS], number_of(name, 'sum'), string.format('%.3f', math.max(value, 0)))
end
