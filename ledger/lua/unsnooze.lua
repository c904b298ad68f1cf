-- Return a snoozed job to its queue before it is due; a running job is resumed as soon as it is snoozed.
--
-- Keys: job (hash), queue (zset), parked (zset), doorbell (list): see the prelude.
-- arg(1) id
-- Reply: 1, or 0 if there is no such job, or it has an outcome

allow_writes_when_full()
local state = get_field(arg(1), 'state')
if state == 'running' then
  redis.call('HSET', record_key(arg(1)), 'woken', '1')
elseif state == 'queued' then
  resume(arg(1))
else
  return 0
end
return 1
