-- Create, change or remove a schedule, and audit it. Called by operators.
--
-- <ns>:schedules          hash    name -> revision of each schedule
-- <ns>:schedule:<name>    hash    definition (JSON), revision (grows with each change), done (ms): slots up to it are
--                                 decided; created, changed (ms), created_by, changed_by; optional: latest, id of the
--                                 newest run, and latest_due (ms); ended (JSON), the newest run that has ended, and
--                                 ended_due (ms)
-- <ns>:schedule:<name>:runs   hash  run id -> run (JSON)
-- <ns>:schedule:<name>:order  zset  run ids by slot (ms), the last <max runs>
-- <ns>:schedules:open     hash    run id -> name, of runs whose jobs have no outcome yet
-- <ns>:schedules:revision  string  counter of revisions
-- <ns>:schedules:changes  stream  who, what, name, from, to (JSON, '' for none), why; trimmed
-- arg(1) who   arg(2) why   arg(3) what   arg(4) name   arg(5) definition (JSON), '' to remove it
-- arg(6) expected revision, '0' for no schedule, '' for any
-- arg(7) '1' if slots before now are not due any more, because the times have changed or it was paused
-- arg(8) maximum of schedules   arg(9) maximum of entries of the audit trail
-- Reply: {'set', revision} or nothing was written: {'differs', revision, '0' for no schedule} | {'unknown'} | {'full'}

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local name, definition = arg(4), arg(5)
local key = ns .. 'schedule:' .. name
local held = redis.call('HMGET', key, 'revision', 'definition', 'done')
local revision, before = held[1] or '0', held[2] or ''
if arg(6) ~= '' and arg(6) ~= revision then
  return { 'differs', revision }
elseif revision == '0' and definition == '' then
  return { 'unknown' }
elseif revision == '0' and redis.call('HLEN', ns .. 'schedules') >= tonumber(arg(8)) then
  return { 'full' }
end

local new = redis.call('INCR', ns .. 'schedules:revision')
if definition == '' then
  local open = redis.call('HGETALL', ns .. 'schedules:open')
  for index = 1, #open, 2 do
    if open[index + 1] == name then
      redis.call('HDEL', ns .. 'schedules:open', open[index])
    end
  end
  redis.call('UNLINK', key, key .. ':runs', key .. ':order')
  redis.call('HDEL', ns .. 'schedules', name)
else
  if revision == '0' then
    redis.call('HSET', key, 'created', now_text, 'created_by', arg(1))
  end
  if revision == '0' or arg(7) == '1' then
    redis.call('HSET', key, 'done', now_text)
  end
  redis.call('HSET', key, 'definition', definition, 'revision', new, 'changed', now_text, 'changed_by', arg(1))
  redis.call('HSET', ns .. 'schedules', name, new)
end
redis.call('XADD', ns .. 'schedules:changes', 'MAXLEN', '~', arg(9), '*', 'who', arg(1), 'what', arg(3), 'name', name,
  'from', before, 'to', definition, 'why', arg(2))
return keep_reply({ 'set', new })
