-- Put an odd item of a queue aside; the oldest give way to the newest.
--
-- <ns>:quarantine:<queue>  list  items, the newest first
-- arg(1) queue   arg(2) item   arg(3) most items that are kept
-- Answer 1

if answered() then
  return 1
end
local kept = ns .. 'quarantine:' .. arg(1)
redis.call('LPUSH', kept, arg(2))
redis.call('LTRIM', kept, 0, tonumber(arg(3)) - 1)
return keep(1)
