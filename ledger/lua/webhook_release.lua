-- Give up webhooks that a relay holds, so that another takes them over at once.
--
-- Keys: see webhook_hold.lua.
-- arg(1) relay   arg(2) '1' if the relay ends   arg(3..) for each: id, fence
-- Reply: how many were given up

local released = 0
for index = 3, #ARGV - HEADER, 2 do
  local hook = ns .. 'webhook:' .. arg(index)
  if redis.call('HGET', hook, 'fence') == arg(index + 1) then
    released = released + redis.call('HDEL', hook, 'owner')
    redis.call('HDEL', hook, 'until')
  end
end
if arg(2) == '1' then
  redis.call('ZREM', ns .. 'relays', arg(1))
end
return released
