-- Batches of 16 decisions over 10,000 accounts.
local requests = {}
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. os.getenv("KEY") }
function init()
  math.randomseed(1)
  for n = 1, 2000 do
    local parts = {}
    for at = 1, 16 do
      local account = math.random(10000) * 7919
      parts[at] = string.format('{"account":"%016x","resource":"MiniMax-M2","tokens":1200}', account)
    end
    local body = '{"decisions":[' .. table.concat(parts, ",") .. "]}"
    requests[n] = wrk.format("POST", "/v1/decisions/batch", headers, body)
  end
end
function request()
  return requests[math.random(2000)]
end
