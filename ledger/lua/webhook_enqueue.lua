-- Add deliveries to a webhook and move its cursor behind the outcomes that were read; or add one without moving it.
--
-- Keys: see webhook_hold.lua.
-- arg(1) id   arg(2) fence of the relay, '' for a caller who moves no cursor
-- arg(3) cursor before   arg(4) cursor now   arg(5) number of the outcome there, '' if unknown
-- arg(6) how many outcomes were missed   arg(7..) for each delivery: key, when its outcome was settled (ms), event
-- Reply: 1, or 0 and nothing was written: the lease or the cursor is another's by now, or there is no such webhook

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local hook = ns .. 'webhook:' .. arg(1)
local held = redis.call('HMGET', hook, 'fence', 'cursor', 'created')
if not held[3] or arg(2) ~= '' and (held[1] ~= arg(2) or held[2] ~= arg(3)) then
  return 0
end
for index = 7, #ARGV - HEADER, 3 do
  local key, settled = arg(index), arg(index + 1)
  local number = redis.call('HINCRBY', hook, 'number', 1)
  local delivery = key .. ':' .. string.format('%016d', number) .. ':' .. settled .. ':' .. arg(index + 2)
  redis.call('ZADD', hook .. ':waiting', 0, delivery)
  redis.call('ZADD', hook .. ':ages', settled, delivery)
  if not redis.call('ZSCORE', hook .. ':due', key) then
    redis.call('ZADD', hook .. ':due', number, key)
  end
end
if arg(2) == '' then
  redis.call('HINCRBY', hook, 'revision', 1)
else
  redis.call('HSET', hook, 'cursor', arg(4), 'seen', arg(5))
  if arg(6) ~= '0' then
    redis.call('HINCRBY', hook, 'missed', arg(6))
    redis.call('HSET', hook, 'missed_at', now_text)
  end
end
return keep_reply(1)
