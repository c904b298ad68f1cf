-- Store what becomes of the bets on a changed fight, and move the change to those that are dealt with.
--
-- <ns>:feed:<name>:pending  hash    see fight_changes.lua. A plan is stored once: who repeats it, because its reply was
--                                   lost or the process before was killed, gets the first one and ends the same bets
-- <ns>:feed:<name>:planned  hash    ids of the pending changes that have a plan
-- <ns>:feed:<name>:events   stream  `change`: FightChange (JSON), each once
-- arg(1) feed   arg(2) id of the change   arg(3) the change with its bets (JSON)
-- arg(4) '1' if it is dealt with, '' if this is the plan   arg(5) about how many changes to keep
-- Reply: the change as it is stored, the given one if it is not pending

local key, id = ns .. 'feed:' .. arg(1), arg(2)
local pending = redis.call('HGET', key .. ':pending', id)
if not pending then
  return arg(3)
elseif arg(4) == '1' then
  redis.call('XADD', key .. ':events', 'MAXLEN', '~', arg(5), '*', 'change', pending)
  redis.call('HDEL', key .. ':pending', id)
  redis.call('HDEL', key .. ':planned', id)
elseif redis.call('HGET', key .. ':planned', id) then
  return pending
else
  redis.call('HSET', key .. ':planned', id, '1')
  redis.call('HSET', key .. ':pending', id, arg(3))
end
return arg(3)
