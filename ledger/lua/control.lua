-- Change controls, all of them or none, and note each change. Only operators come here, and training jobs that move an
-- alias; pools read the values with their claims, and at every look of their guard.
--
-- <ns>:controls          hash    name -> value (text) of each control that is set; the others have their defaults
-- <ns>:controls:changed  hash    name -> place of its last change
-- <ns>:controls:changes  stream  who, name, from, to, why; '' for what is not set; nothing is ever taken off; previous:
--                                place of the last change of the same control before, '' for none; where there are any:
--                                evidence (JSON), and rollback ('1': a way back, not a step on)
-- <ns>:aliases           hash    alias -> digest: the value of `model.<alias>`
-- <ns>:models            hash    digest -> summary (JSON)
-- <ns>:alarms            hash    see alarm.lua
-- <ns>:alarms:cleared    hash    model -> when its last alarm was cleared (us)
-- arg(1) who   arg(2) why   arg(3) evidence, '' for none   arg(4) '1' for a rollback, else ''
-- arg(5) '1' if an alias may only stand for a model that is known
-- arg(6) model about which an alarm must stand, '' for none   arg(7) '1' to clear that alarm
-- arg(8..) for each: name, value ('' unsets it), '1' to compare, what it must be now ('' not set)
-- Answer {'set', place, ...}, or nothing was written:
--        {'differs', name, value now} | {'unknown', digest} | {'no alarm'}

even_if_full()
local told = answered()
if told then
  return told
end
local FIRST, FIELDS = 8, 4
local changed, alarms = ns .. 'controls:changed', ns .. 'alarms'

local function alias_of(name)
  return string.match(name, '^model%.(.*)$')
end

local function home(name)
  local alias = alias_of(name)
  if alias then
    return ns .. 'aliases', alias
  end
  return ns .. 'controls', name
end

local function current(name)
  local hash, field = home(name)
  return redis.call('HGET', hash, field) or ''
end

if arg(6) ~= '' and not redis.call('HGET', alarms, arg(6)) then
  return { 'no alarm' }
end
for first = FIRST, #ARGV - HEADER, FIELDS do
  local name = arg(first)
  if arg(first + 2) == '1' and current(name) ~= arg(first + 3) then
    return { 'differs', name, current(name) }
  end
  if arg(5) == '1' and alias_of(name) and not redis.call('HGET', ns .. 'models', arg(first + 1)) then
    return { 'unknown', arg(first + 1) }
  end
end

local answer = { 'set' }
for first = FIRST, #ARGV - HEADER, FIELDS do
  local name, value = arg(first), arg(first + 1)
  local before = current(name)
  local hash, field = home(name)
  if value == '' then
    redis.call('HDEL', hash, field)
  else
    redis.call('HSET', hash, field, value)
  end
  local previous = redis.call('HGET', changed, name) or ''
  local entry = { 'who', arg(1), 'name', name, 'from', before, 'to', value, 'why', arg(2), 'previous', previous }
  for index, field in ipairs({ 'evidence', 'rollback' }) do
    if arg(2 + index) ~= '' then
      entry[#entry + 1], entry[#entry + 2] = field, arg(2 + index)
    end
  end
  local place = redis.call('XADD', ns .. 'controls:changes', '*', unpack(entry))
  redis.call('HSET', changed, name, place)
  answer[#answer + 1] = place
end
if arg(7) == '1' then
  redis.call('HSET', ns .. 'alarms:cleared', arg(6), digits(now_us))
  redis.call('HDEL', alarms, arg(6))
end
return keep(answer)
