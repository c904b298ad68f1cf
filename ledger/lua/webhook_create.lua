-- Create a webhook. It begins with what is settled from now on, or after a place in the stream of outcomes.
--
-- Keys: see webhook_hold.lua, and
-- <namespace>/webhooks:secrets   hash   id -> the secret that signs; id and ':previous' -> '<ms until> <secret>', the
--                                       one before. Outside of the namespace's keys, which users may read who must not
--                                       know the secrets
-- arg(1) id   arg(2) definition (JSON)   arg(3) who   arg(4) '$' or a place   arg(5) secret   arg(6) maximum of webhooks
-- Reply: 1, or 0 if there are too many

local hook = ns .. 'webhook:' .. arg(1)
if redis.call('EXISTS', hook) == 1 then -- the call is repeated
  return 1
end
if redis.call('ZCARD', ns .. 'webhooks') >= tonumber(arg(6)) then
  return 0
end
local cursor, seen = arg(4), ''
if cursor == '$' then
  local latest = redis.call('XREVRANGE', ns .. 'outcomes', '+', '-', 'COUNT', 1)[1]
  cursor, seen = latest and latest[1] or '0', redis.call('HGET', ns .. 'counts', 'outcomes') or '0'
end
redis.call('HSET', hook, 'definition', arg(2), 'created', now_text, 'created_by', arg(3), 'changed', now_text,
  'changed_by', arg(3), 'enabled', '1', 'disabled', '', 'revision', 1, 'cursor', cursor, 'seen', seen, 'number', 0,
  'fence', 0)
redis.call('HSET', ARGV[1] .. '/webhooks:secrets', arg(1), arg(5))
redis.call('ZADD', ns .. 'webhooks', now, arg(1))
return 1
