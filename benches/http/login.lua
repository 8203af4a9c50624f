-- Logins: each connection with a pause of PACE milliseconds; names op1 to op20, with PASSWORD.
local pace = tonumber(os.getenv("PACE"))
local headers = { ["Content-Type"] = "application/json" }
local n = 0
function delay()
  return pace
end
function request()
  n = n % 20 + 1
  local body = string.format('{"name":"op%d","password":"%s"}', n, os.getenv("PASSWORD"))
  return wrk.format("POST", "/v1/sessions", headers, body)
end
