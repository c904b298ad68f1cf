-- Note a slot that is refused, missed, failed or skipped, and decide all slots up to one. Called by monitoring pools.
--
-- Keys: see schedule_change.lua.
-- arg(1) name   arg(2) revision that the caller has read   arg(3) expected `done` (ms)   arg(4) new `done` (ms)
-- arg(5) run id   arg(6) its slot (ms)   arg(7) run (JSON)   arg(8) maximum of runs that are kept
-- arg(9) '1' if the run has ended and counts as the last one: not if it was skipped or is tried again
-- Reply: 1, or 0 if another pool was faster, or the schedule has changed: nothing was written

allow_writes_when_full()
local earlier = earlier_reply()
if earlier then
  return earlier
end
local key = ns .. 'schedule:' .. arg(1)
local held = redis.call('HMGET', key, 'revision', 'done')
if held[1] ~= arg(2) or held[2] ~= arg(3) then
  return 0
end
redis.call('HSET', key, 'done', arg(4))
note_run(arg(1), arg(5), arg(6), arg(7), tonumber(arg(8)))
if arg(9) == '1' then
  note_end(arg(1), arg(6), arg(7))
end
return keep_reply(1)
