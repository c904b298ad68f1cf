-- Delete a webhook with everything that belongs to it. A relay learns of it by its next call.
--
-- Keys: see webhook_hold.lua and webhook_create.lua.
-- arg(1) id
-- Reply: 1, or 0 if there is no webhook of this id

local reply = earlier_reply()
if reply then
  return reply
end
local id = arg(1)
local hook = ns .. 'webhook:' .. id
if redis.call('ZREM', ns .. 'webhooks', id) == 0 then
  return 0
end
redis.call('UNLINK', hook, hook .. ':waiting', hook .. ':ages', hook .. ':due', hook .. ':progress', hook .. ':log',
  hook .. ':dead', hook .. ':letters')
redis.call('HDEL', ARGV[1] .. '/webhooks:secrets', id, id .. ':previous')
return keep_reply(1)
