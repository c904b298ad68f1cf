-- Quarantine a malformed item of a queue's doorbell list; the oldest items are dropped beyond the limit.
--
-- <ns>:quarantine:<queue>  list  items, newest first
-- arg(1) queue   arg(2) item   arg(3) maximum of items that are kept
-- Reply: 1

if earlier_reply() then
  return 1
end
local items = ns .. 'quarantine:' .. arg(1)
redis.call('LPUSH', items, arg(2))
redis.call('LTRIM', items, 0, tonumber(arg(3)) - 1)
return keep_reply(1)
