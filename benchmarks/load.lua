-- Prints what wrk counted as one JSON line. POST_BYTES in the environment turns the load into POSTs of that size.
local size = tonumber(os.getenv("POST_BYTES") or "0")
if size > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("x", size)
  wrk.headers["Content-Type"] = "application/octet-stream"
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\n@{"requests":%d,"duration_us":%d,"errors":%d,"bad_status":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
