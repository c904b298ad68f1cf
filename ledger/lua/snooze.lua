-- Snooze a running job without using an attempt: it waits outside its queue until it is due or resumed.
--
-- Keys: job (hash), queue (zset), leases (zset), looked (string), held (zset), parked (zset), news (channel): see the
-- prelude.
-- arg(1) id   arg(2) fence   arg(3) due in (ms)   arg(4) note for its next claim   arg(5) progress (JSON), or ''
-- arg(6) reason, for its history
-- Reply: 1, also for a repeated call, or 0 if it was no longer held

allow_writes_when_full()
shift_leases()
local id = arg(1)
if not is_current_claim(id, arg(2)) then
  return tonumber(earlier_result(id, arg(2), 'park') or 0)
end
local queue = requeue(id, true, 'snoozed', arg(6))
record_result(id, arg(2), 'park', 1)
redis.call('HSET', record_key(id), 'note', arg(4))
redis.call('HDEL', record_key(id), 'unheard')
if arg(5) ~= '' then
  redis.call('HSET', record_key(id), 'progress', arg(5))
  publish(news_channel(id), arg(5))
end
-- It may have been resumed while it was still running.
if redis.call('HDEL', record_key(id), 'woken') == 1 then
  ring_doorbell(queue)
else
  local job = redis.call('HMGET', record_key(id), 'place', 'caller')
  remove_from_queue(queue, job[1], job[2])
  redis.call('ZADD', ns .. 'parked', digits(now + tonumber(arg(3))), id)
end
return 1
