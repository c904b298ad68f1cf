-- Change the definition of a webhook, and whether it is enabled.
--
-- Keys: see webhook_hold.lua.
-- arg(1) id   arg(2) revision that it must have   arg(3) definition (JSON)   arg(4) '1' or '0': enabled
-- arg(5) reason if it is disabled, else ''   arg(6) who
-- Reply: 1; 0 if it has another revision by now; -1 if there is none of this id

local reply = earlier_reply()
if reply then
  return reply
end
local hook = ns .. 'webhook:' .. arg(1)
local revision = redis.call('HGET', hook, 'revision')
if not revision then
  return -1
elseif revision ~= arg(2) then
  return 0
end
redis.call('HSET', hook, 'definition', arg(3), 'enabled', arg(4), 'disabled', arg(5), 'changed', now_text,
  'changed_by', arg(6))
if arg(4) == '1' then
  redis.call('HDEL', hook, 'held') -- what the receiver asked for before no longer counts
end
redis.call('HINCRBY', hook, 'revision', 1)
return keep_reply(1)
