-- Repeats one request and prints what wrk counted as one JSON line. The environment says what to send: POST_BYTES of
-- content (0: GET), FIELDS as "Name: value" lines, and how many requests there are in one write, DEPTH.
local size = tonumber(os.getenv("POST_BYTES") or "0")
local depth = tonumber(os.getenv("DEPTH") or "1")

if size > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("x", size)
  wrk.headers["Content-Type"] = "application/octet-stream"
end
for name, value in string.gmatch(os.getenv("FIELDS") or "", "([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end

if depth > 1 then
  local batch
  function init(_)
    batch = string.rep(wrk.format(), depth)
  end
  function request()
    return batch
  end
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\n@{"requests":%d,"duration_us":%d,"errors":%d,"bad_status":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
