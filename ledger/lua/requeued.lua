-- Remove a dead letter whose job was submitted again, and name each job in the record of the other.
--
-- Keys: dead (zset), job (hash): see the prelude.
-- arg(1) id of the dead letter   arg(2) id of the new job
-- Reply: 1

allow_writes_when_full()
if redis.call('EXISTS', record_key(arg(1)), record_key(arg(2))) == 2 then
  redis.call('HSET', record_key(arg(1)), 'requeued_as', arg(2))
  redis.call('HSET', record_key(arg(2)), 'requeued_from', arg(1))
end
redis.call('ZREM', ns .. 'dead', arg(1))
return 1
