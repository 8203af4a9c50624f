-- Accounts that do not exist yet, one after the other.
local next = 0
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. os.getenv("KEY") }
function request()
  next = next + 1
  return wrk.format("POST", "/v1/accounts", headers, string.format('{"id":"%016x"}', next))
end
