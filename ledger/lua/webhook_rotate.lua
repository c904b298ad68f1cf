-- Give a webhook a new secret. The one before signs too, for some time; one before that no longer does.
--
-- Keys: see webhook_hold.lua and webhook_create.lua.
-- arg(1) id   arg(2) new secret   arg(3) for how long the one before signs too (ms)   arg(4) who
-- Reply: 1, or 0 if there is no webhook of this id

local hook, secrets = ns .. 'webhook:' .. arg(1), ARGV[1] .. '/webhooks:secrets'
if redis.call('EXISTS', hook) == 0 then
  return 0
end
local before = redis.call('HGET', secrets, arg(1))
if before ~= arg(2) then -- else the call is repeated
  if before and tonumber(arg(3)) > 0 then
    redis.call('HSET', secrets, arg(1) .. ':previous', digits(now + tonumber(arg(3))) .. ' ' .. before)
  else
    redis.call('HDEL', secrets, arg(1) .. ':previous')
  end
  redis.call('HSET', secrets, arg(1), arg(2))
  redis.call('HSET', hook, 'changed', now_text, 'changed_by', arg(4))
  redis.call('HINCRBY', hook, 'revision', 1)
end
return 1
