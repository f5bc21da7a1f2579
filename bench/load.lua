-- What `wrk` sends, for `bench/load.py`: one method and path; the bodies of a file in turn, one on each line.
-- Arguments: method, path, file of bodies or ''.
local method, path, bodies

function init(args)
  method, path = args[1], args[2]
  if args[3] ~= '' then bodies = io.lines(args[3]) end
end

function request()
  if not bodies then return wrk.format(method, path) end
  local body = bodies()
  if not body then
    io.stderr:write('expected a body for each request, got too few\n')
    os.exit(1)
  end
  return wrk.format(method, path, nil, body)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "took_us": %d, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout
  ))
end
