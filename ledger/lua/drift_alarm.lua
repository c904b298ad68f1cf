-- Raise a drift alarm of a model, or store the action taken on the standing one.
--
-- <ns>:alarms          hash    model -> alarm (JSON)
-- <ns>:alarms:changes  stream  event ('raised' or 'acted'), alarm (JSON); trimmed
-- arg(1) model   arg(2) alarm (JSON)   arg(3) '1' to update the standing alarm, '' to raise it if none stands
-- arg(4) about how many changes to keep
-- Reply: the standing alarm, nil for none

local alarms = ns .. 'alarms'
local standing = redis.call('HGET', alarms, arg(1))
if (arg(3) == '1') == (standing ~= false) then
  if standing ~= arg(2) then
    redis.call('HSET', alarms, arg(1), arg(2))
    redis.call('XADD', alarms .. ':changes', 'MAXLEN', '~', arg(4), '*', 'event',
      arg(3) == '1' and 'acted' or 'raised', 'alarm', arg(2))
  end
  return arg(2)
end
return standing
