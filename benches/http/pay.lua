-- Top-ups over 10,000 accounts in turn, each with a payment of its own. PACE is the pause before each, in milliseconds.
local next = 0
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. os.getenv("KEY") }
local run = os.time()
function request()
  next = next + 1
  local account = next % 10000 * 7919
  local body = string.format(
    '{"event_id":"e-%d-%d","payment_id":"p-%d-%d","amount":1,"currency":"CNY","occurred_at":"2026-01-31T08:00:00Z"}',
    run, next, run, next)
  return wrk.format("POST", string.format("/v1/accounts/%016x/top-ups", account), headers, body)
end
local pace = tonumber(os.getenv("PACE") or "0")
if pace > 0 then
  function delay()
    return pace
  end
end
