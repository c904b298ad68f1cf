-- Requeue jobs of expired leases, expire overdue jobs, resume snoozed jobs that are due, queue waiting jobs whose time has
-- come, and ring lost doorbells again.
--
-- Keys: all of the prelude's.
-- arg(1) how long a queue may wait before its doorbell is rung again (ms)
-- arg(2) '1' to end expired leases; '0' from a pool that has not reaped for a while: other pools may not have either
-- arg(3..) queues
-- Reply: {requeued, lost, expired, rung, 1 if outcomes wait for the disk or for replicas, else 0,
--         {{id, fence}, ...} of those whose leases have expired,
--         when the next lease expires, or the next snoozed or waiting job is due, in ms from now; '' for never}

allow_writes_when_full()
shift_leases()
redis.call('SET', ns .. 'looked', now_text)
local reply = earlier_reply()
if reply then
  return reply
end
local requeued, lost, expired, rung, claims = 0, 0, 0, 0, {}

local max_leases = arg(2) == '1' and 1000 or 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ns .. 'leases', '-inf', now_text, 'LIMIT', 0, max_leases)) do
  claims[#claims + 1] = { id, get_field(id, 'fence') or '0' }
  local state = worker_lost(id, 'lease_expired', 'no worker renewed the lease')
  if state == 'queued' then
    requeued = requeued + 1
  elseif state == 'failed' then
    lost = lost + 1
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', ns .. 'parked', '-inf', now_text, 'LIMIT', 0, 1000)) do
  resume(id)
end
settle_successors(500)
for index = 3, #ARGV - HEADER do
  local queue = arg(index)
  expired = expired + expire_overdue(queue)
  local missing = math.min(queue_length(queue), max_doorbells)
    - redis.call('LLEN', ns .. 'doorbell:' .. queue)
  local paused = redis.call('HGET', ns .. 'controls', 'pause.' .. queue) == 'on'
  -- abs: the clock may have been set back
  local since = math.abs(now - tonumber(redis.call('HGET', ns .. 'rung', queue) or 0))
  if missing > 0 and not paused and since >= tonumber(arg(1)) then
    for _ = 1, missing do
      rung = rung + ring_doorbell(queue)
    end
    redis.call('HSET', ns .. 'rung', queue, now_text)
  end
end

settle_successors()
-- An entry must not outlive the record it names: a follower that returns too late must see the gap.
redis.call('XTRIM', ns .. 'outcomes', 'MINID', digits(math.max(now - retention, 0)))
redis.call('ZREMRANGEBYSCORE', ns .. 'dead', '-inf', digits(now - retention))
local prepares = redis.call('HGET', ns .. 'counts', 'durability') or redis.call('EXISTS', ns .. 'prepared') == 1
local next_due = math.huge
for _, name in ipairs({ 'leases', 'parked', 'waiting' }) do
  local first = redis.call('ZRANGE', ns .. name, 0, 0, 'WITHSCORES')
  next_due = math.min(next_due, tonumber(first[2] or '') or math.huge)
end
next_due = next_due < math.huge and digits(math.max(next_due - now, 0)) or ''
local answer = { requeued, lost, expired, rung, prepares and 1 or 0, claims, next_due }
return requeued + lost + expired > 0 and keep_reply(answer) or answer
