-- Send dead letters of a webhook again, after all that waits for the same key, or remove them.
--
-- Keys: see webhook_hold.lua.
-- arg(1) id   arg(2) 'replay' or 'purge'   arg(3..) their numbers
-- Reply: how many were there; -1 if there is no webhook of this id

local reply = earlier_reply()
if reply then
  return reply
end
local hook, count = ns .. 'webhook:' .. arg(1), 0
if redis.call('EXISTS', hook) == 0 then
  return -1
end
for index = 3, #ARGV - HEADER do
  local letter = redis.call('HGET', hook .. ':letters', arg(index))
  if letter then
    count = count + 1
    redis.call('HDEL', hook .. ':letters', arg(index))
    redis.call('ZREM', hook .. ':dead', arg(index))
    if arg(2) == 'replay' then
      local old = string.match(letter, '\n(.*)$')
      local key, number = string.sub(old, 1, 16), redis.call('HINCRBY', hook, 'number', 1)
      local delivery = key .. ':' .. string.format('%016d', number) .. string.sub(old, 34)
      redis.call('ZADD', hook .. ':waiting', 0, delivery)
      redis.call('ZADD', hook .. ':ages', string.match(old, '^%x+:%d+:(%d+):'), delivery)
      if not redis.call('ZSCORE', hook .. ':due', key) then
        redis.call('ZADD', hook .. ':due', number, key)
      end
    end
  end
end
redis.call('HINCRBY', hook, 'revision', 1)
return keep_reply(count)
