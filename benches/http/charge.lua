-- A charge for each account in turn, in batches of 256.
local next = 0
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. os.getenv("KEY") }
function request()
  local parts = {}
  for at = 1, 256 do
    next = next + 1
    parts[at] = string.format('{"account":"%016x","resource":"MiniMax-M2","tokens":1200}', next)
  end
  return wrk.format("POST", "/v1/decisions/batch", headers, '{"decisions":[' .. table.concat(parts, ",") .. "]}")
end
