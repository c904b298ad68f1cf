-- Put right what nobody else will: leases that ran out, deadlines that passed in the queue, doorbells that got lost.
--
-- Keys: all of the prelude's.
-- arg(1) ring (ms): how long a queue may wait before its doorbell is rung again
-- arg(2) '1' to judge leases; '0' from a pool that has not looked for a while: other pools may not have either
-- arg(3..) queues
-- Answer {requeued, lost, expired, rung}

even_if_full()
keep_time()
redis.call('SET', ns .. 'looked', now_text)
local told = answered()
if told then
  return told
end
local requeued, lost, expired, rung = 0, 0, 0, 0

local judged = arg(2) == '1' and 1000 or 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ns .. 'leases', '-inf', now_text, 'LIMIT', 0, judged)) do
  local state = lose(id)
  if state == 'queued' then
    requeued = requeued + 1
  elseif state == 'failed' then
    lost = lost + 1
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', ns .. 'parked', '-inf', now_text, 'LIMIT', 0, 1000)) do
  unpark(id)
end
for index = 3, #ARGV - HEADER do
  local queue = arg(index)
  expired = expired + expire_overdue(queue)
  local missing = math.min(redis.call('ZCARD', ns .. 'queue:' .. queue), doorbell_cap)
    - redis.call('LLEN', ns .. 'doorbell:' .. queue)
  local paused = redis.call('HGET', ns .. 'controls', 'pause.' .. queue) == 'on'
  local since = math.abs(now - tonumber(redis.call('HGET', ns .. 'rung', queue) or 0)) -- the clock may have been set back
  if missing > 0 and not paused and since >= tonumber(arg(1)) then
    for _ = 1, missing do
      rung = rung + ring(queue)
    end
    redis.call('HSET', ns .. 'rung', queue, now_text)
  end
end

-- An entry must not outlive the record it names: a follower that comes back too late is to be told so.
redis.call('XTRIM', ns .. 'outcomes', 'MINID', digits(math.max(now - retention, 0)))
redis.call('ZREMRANGEBYSCORE', ns .. 'dead', '-inf', digits(now - retention))
local answer = { requeued, lost, expired, rung }
return requeued + lost + expired > 0 and keep(answer) or answer
