-- Raise an alarm about a model, or note in the one that stands what was done about it.
--
-- <ns>:alarms  hash  model -> alarm (JSON)
-- arg(1) model   arg(2) alarm (JSON)   arg(3) '1' to note it in the one that stands, '' to raise it if none does
-- Answer the alarm that stands now, nil for none

local alarms = ns .. 'alarms'
local standing = redis.call('HGET', alarms, arg(1))
if (arg(3) == '1') == (standing ~= false) then
  redis.call('HSET', alarms, arg(1), arg(2))
  return arg(2)
end
return standing
