-- Put a running job aside, untried: it waits outside its queue until it is due, or someone wakes it.
--
-- Keys: job (hash), queue (zset), leases (zset), looked (string), held (zset), parked (zset), news (channel): see the
-- prelude.
-- arg(1) id   arg(2) fence   arg(3) due in (ms)   arg(4) note, kept for its next claim   arg(5) progress (JSON), or ''
-- Answer 1, also on being told again, or 0 if it was no longer held

even_if_full()
keep_time()
local id = arg(1)
if not holds(id, arg(2)) then
  return tonumber(left(id, arg(2), 'park') or 0)
end
local queue = requeue(id, true)
leave(id, arg(2), 'park', 1)
redis.call('HSET', record(id), 'note', arg(4))
redis.call('HDEL', record(id), 'unheard')
if arg(5) ~= '' then
  redis.call('HSET', record(id), 'progress', arg(5))
  redis.call('PUBLISH', news(id), arg(5))
end
-- What it waits for may have come while it was still being put aside.
if redis.call('HDEL', record(id), 'woken') == 1 then
  ring(queue)
else
  redis.call('ZREM', ns .. 'queue:' .. queue, get(id, 'place'))
  redis.call('ZADD', ns .. 'parked', digits(now + tonumber(arg(3))), id)
end
return 1
