-- Set the format in which payloads and reports are written, if all living pools can read it, and audit the change as one
-- of a control named `compression`.
--
-- Keys: format (string): see the prelude; controls:changed, controls:changes: see control.lua; pools (set), pool:<name>.
-- arg(1) format   arg(2), arg(3) 'on' or 'off', before and after   arg(4) who   arg(5) why
-- Reply: {'set', place of the change} or {'unchanged'}, or nothing was written: {'pools', name, ...}: those that cannot
--        read the format

local format = tonumber(arg(1))
local reply = earlier_reply()
if reply then
  return reply
end
if redis.call('GET', ns .. 'format') == arg(1) then
  return { 'unchanged' }
end
local before = pools_before_format(format)
if #before > 0 then
  table.insert(before, 1, 'pools')
  return before
end
redis.call('SET', ns .. 'format', arg(1))
local changed = ns .. 'controls:changed'
local place = redis.call('XADD', ns .. 'controls:changes', '*', 'who', arg(4), 'name', 'compression', 'from', arg(2), 'to',
  arg(3), 'why', arg(5), 'previous', redis.call('HGET', changed, 'compression') or '')
redis.call('HSET', changed, 'compression', place)
return keep_reply({ 'set', place })
