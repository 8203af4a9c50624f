-- As single.lua, each connection with a pause of PACE milliseconds: a load below what the server can.
dofile("benches/http/single.lua")
local pace = tonumber(os.getenv("PACE"))
function delay()
  return pace
end
