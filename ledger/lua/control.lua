-- Change controls, all of them or none, and audit each change. Called by operators, and by training jobs that move an
-- alias; pools read the values with their claims, and at every tick of their supervisor.
--
-- <ns>:controls          hash    name -> value (text) of each control that is set
-- <ns>:controls:changed  hash    name -> place of its last change
-- <ns>:controls:changes  stream  who, name, from, to, why ('' for not set); trimmed, but for aliases and the last
--                                change of each control; previous: place of the previous change of the same
--                                control, '' for none; optional: evidence (JSON), and rollback ('1')
-- <ns>:aliases           hash    alias -> digest: the value of `model.<alias>`
-- <ns>:models            hash    digest -> summary (JSON)
-- <ns>:alarms            hash    see drift_alarm.lua
-- <ns>:alarms:cleared    hash    model -> when its last alarm was cleared (us)
-- <ns>:recall:<probe>    list    of each living pool: ends the wait of a child, whose idle pool then reads the controls
-- arg(1) who   arg(2) why   arg(3) evidence, '' for none   arg(4) '1' for a rollback, else ''
-- arg(5) '1' if an alias may only point to a registered model
-- arg(6) model whose drift alarm must stand, '' for none   arg(7) '1' to clear that alarm
-- arg(8) about how many changes to keep
-- arg(9..) for each: name, value ('' unsets it), '1' to compare, expected value ('' not set)
-- Reply: {'set', place, ...}, or nothing was written:
--        {'differs', name, value now} | {'unknown', digest} | {'no alarm'}

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local FIRST, FIELDS = 9, 4
local changed, changes, alarms = ns .. 'controls:changed', ns .. 'controls:changes', ns .. 'alarms'

local function alias_of(name)
  return string.match(name, '^model%.(.*)$')
end

local function storage_of(name)
  local alias = alias_of(name)
  if alias then
    return ns .. 'aliases', alias
  end
  return ns .. 'controls', name
end

local function current_value(name)
  local hash, field = storage_of(name)
  return redis.call('HGET', hash, field) or ''
end

-- Remove the oldest changes beyond the limit, some at a time. Those of aliases stay, because they are the way back to each
-- model, with the evidence for it; so does the last one of a control, which has who set the value that holds. pcall: a
-- user of an older users.acl lacks these rights.
local AT_ONCE = 100
local function trim()
  local count, place = redis.pcall('XLEN', changes), '-'
  local surplus = type(count) == 'number' and math.min(count - tonumber(arg(8)), 10 * AT_ONCE) or 0
  if surplus < AT_ONCE then
    return
  end
  repeat
    local oldest = redis.call('XRANGE', changes, place, '+', 'COUNT', AT_ONCE)
    for _, change in ipairs(oldest) do
      local fields = {}
      for index = 1, #change[2], 2 do
        fields[change[2][index]] = change[2][index + 1]
      end
      local name = fields.name or ''
      if surplus > 0 and not alias_of(name) and redis.call('HGET', changed, name) ~= change[1] then
        if redis.pcall('XDEL', changes, change[1]) ~= 1 then
          return
        end
        surplus = surplus - 1
      end
    end
    place = #oldest > 0 and '(' .. oldest[#oldest][1]
  until surplus == 0 or #oldest < AT_ONCE
end

if arg(6) ~= '' and not redis.call('HGET', alarms, arg(6)) then
  return { 'no alarm' }
end
for first = FIRST, #ARGV - HEADER, FIELDS do
  local name = arg(first)
  if arg(first + 2) == '1' and current_value(name) ~= arg(first + 3) then
    return { 'differs', name, current_value(name) }
  end
  if arg(5) == '1' and alias_of(name) and not redis.call('HGET', ns .. 'models', arg(first + 1)) then
    return { 'unknown', arg(first + 1) }
  end
end

-- pcall: a user of an older users.acl lacks these rights; the pools read the controls a moment later then.
local function wake_pools()
  local names = redis.pcall('SMEMBERS', ns .. 'pools')
  for _, name in ipairs(names.err and {} or names) do
    local recall = ns .. 'recall:canary-' .. name
    if redis.pcall('LLEN', recall) == 0 then
      redis.pcall('LPUSH', recall, '!')
      redis.pcall('PEXPIRE', recall, 10000)
    end
  end
end

local answer = { 'set' }
for first = FIRST, #ARGV - HEADER, FIELDS do
  local name, value = arg(first), arg(first + 1)
  local before = current_value(name)
  local hash, field = storage_of(name)
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
  local place = redis.call('XADD', changes, '*', unpack(entry))
  redis.call('HSET', changed, name, place)
  answer[#answer + 1] = place
end
if arg(7) == '1' then
  redis.call('HSET', ns .. 'alarms:cleared', arg(6), digits(now_us))
  redis.call('HDEL', alarms, arg(6))
end
trim()
wake_pools()
return keep_reply(answer)
