-- Bring a parked job back to its queue before it is due; one that runs is told so when it is to be parked.
--
-- Keys: job (hash), queue (zset), parked (zset), doorbell (list): see the prelude.
-- arg(1) id
-- Answer 1, or 0 if there is no such job, or it has an outcome

even_if_full()
local state = get(arg(1), 'state')
if state == 'running' then
  redis.call('HSET', record(arg(1)), 'woken', '1')
elseif state == 'queued' then
  unpark(arg(1))
else
  return 0
end
return 1
