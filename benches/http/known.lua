-- Creates the 10,000 accounts that pay.lua and single.lua name, again and again.
local next = 0
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. os.getenv("KEY") }
function request()
  next = next + 1
  return wrk.format("POST", "/v1/accounts", headers, string.format('{"id":"%016x"}', next % 10001 * 7919))
end
