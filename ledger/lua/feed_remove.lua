-- Forget a feed that nobody reads any more.
--
-- Keys: see feed_lease.lua and feed_record.lua; and fight_changes.lua.
-- arg(1) feed
-- Reply: {'removed'} | {'unknown'} | {'led', leader}

local key = ns .. 'feed:' .. arg(1)
local held = redis.call('HMGET', key, 'leader', 'until')
if (held[1] or '') ~= '' and tonumber(held[2] or 0) > now then
  return { 'led', held[1] }
end
if not redis.call('HGET', ns .. 'feeds', arg(1)) then
  return { 'unknown' }
end
redis.call('HDEL', ns .. 'feeds', arg(1))
for _, part in ipairs({ '', ':runners', ':totals', ':retrievals', ':marks', ':events', ':fights', ':pending', ':planned' }) do
  redis.call('UNLINK', key .. part)
end
return { 'removed' }
