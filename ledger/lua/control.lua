-- Change controls, all of them or none, and note each change. Only operators come here, and training jobs that move an
-- alias; pools read the values with their claims, and at every look of their guard.
--
-- <ns>:controls          hash    name -> value (text) of each control that is set; the others have their defaults
-- <ns>:controls:changed  hash    name -> place of its last change
-- <ns>:controls:changes  stream  who, name, from, to, why; '' for what is not set; nothing is ever taken off; where there
--                                are any: evidence (JSON), and rollback ('1': a way back, not a step on)
-- <ns>:aliases           hash    alias -> digest: the value of `model.<alias>`
-- arg(1) who   arg(2) why   arg(3) evidence, '' for none   arg(4) '1' for a rollback, else ''
-- arg(5..) for each: name, value ('' unsets it), '1' to compare, what it must be now ('' not set)
-- Answer {'set', place, ...}, or {'differs', name, value now}: then nothing was written

even_if_full()
local FIRST, FIELDS = 5, 4

local function home(name)
  local alias = string.match(name, '^model%.(.*)$')
  if alias then
    return ns .. 'aliases', alias
  end
  return ns .. 'controls', name
end

local function current(name)
  local hash, field = home(name)
  return redis.call('HGET', hash, field) or ''
end

for first = FIRST, #ARGV - HEADER, FIELDS do
  local name = arg(first)
  if arg(first + 2) == '1' and current(name) ~= arg(first + 3) then
    return { 'differs', name, current(name) }
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
  local entry = { 'who', arg(1), 'name', name, 'from', before, 'to', value, 'why', arg(2) }
  for index, field in ipairs({ 'evidence', 'rollback' }) do
    if arg(2 + index) ~= '' then
      entry[#entry + 1], entry[#entry + 2] = field, arg(2 + index)
    end
  end
  local place = redis.call('XADD', ns .. 'controls:changes', '*', unpack(entry))
  redis.call('HSET', ns .. 'controls:changed', name, place)
  answer[#answer + 1] = place
end
return answer
