-- 10,000 accounts, drawn uniformly; requests are put together before the measurement.
local requests = {}
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. os.getenv("KEY") }
function init()
  math.randomseed(1)
  for n = 1, 10000 do
    local body = string.format('{"account":"%016x","resource":"MiniMax-M2","tokens":1200}', n * 7919)
    requests[n] = wrk.format("POST", "/v1/decisions", headers, body)
  end
end
function request()
  return requests[math.random(10000)]
end
