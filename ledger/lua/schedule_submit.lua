-- Submit the jobs of a slot or of a run by hand, and note the run, in one step. Any number of pools may call it for the
-- same slot: the first one submits.
-- Includes submit.lua
--
-- Keys: those of schedule_change.lua and submit.lua.
-- arg(1) name   arg(2) revision that the caller has read   arg(3) slot (ms); '' for a run by hand
-- arg(4) run id   arg(5) when it is due (ms)   arg(6) run (JSON)   arg(7) maximum of runs that are kept
-- arg(8) who   arg(9) why, for the audit trail of a run by hand   arg(10) maximum of entries of the audit trail
-- arg(11..) the arguments of submit.lua
-- Reply: that of submit.lua, or nothing was written:
--        {'decided'}: another pool has submitted or skipped the slot | {'changed'}: there is another revision or none |
--        {'early'}: the slot is not due, because the clock was set back

local earlier = earlier_reply()
if earlier then
  return earlier
end
local name, slot, run_id, due, run, max_runs = arg(1), arg(3), arg(4), arg(5), arg(6), arg(7)
local who, why, max_changes = arg(8), arg(9), arg(10)
local key = ns .. 'schedule:' .. name
local held = redis.call('HMGET', key, 'revision', 'done')
if held[1] ~= arg(2) then
  return { 'changed' }
elseif slot ~= '' and tonumber(slot) <= tonumber(held[2]) then
  return { 'decided' }
elseif slot ~= '' and tonumber(slot) > now then
  return { 'early' }
end

HEADER = HEADER + 10
local answer = submit()
if answer[1] == 'accepted' then
  if slot ~= '' then
    redis.call('HSET', key, 'done', slot)
  end
  note_run(name, run_id, due, run, max_runs)
  redis.call('HSET', ns .. 'schedules:open', run_id, name)
  if slot == '' then
    redis.call('XADD', ns .. 'schedules:changes', 'MAXLEN', '~', max_changes, '*', 'who', who, 'what', 'run', 'name',
      name, 'from', '', 'to', '', 'why', why)
  end
end
return answer
