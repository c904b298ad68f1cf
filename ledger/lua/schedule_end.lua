-- Note the outcome of a run, once. Called by monitoring pools.
--
-- Keys: see schedule_change.lua.
-- arg(1) name   arg(2) run id   arg(3) its slot (ms)   arg(4) run (JSON)
-- Reply: 1, or 0 if that was done, or the schedule is gone: nothing was written

allow_writes_when_full()
local earlier = earlier_reply()
if earlier then
  return earlier
end
local key = ns .. 'schedule:' .. arg(1)
if redis.call('HDEL', ns .. 'schedules:open', arg(2)) == 0 then
  return 0
end
if redis.call('HGET', key .. ':runs', arg(2)) then
  redis.call('HSET', key .. ':runs', arg(2), arg(4))
end
note_end(arg(1), arg(3), arg(4))
return keep_reply(1)
