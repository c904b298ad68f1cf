-- Raise a drift alarm of a model, or store the action taken on the standing one.
--
-- <ns>:alarms  hash  model -> alarm (JSON)
-- arg(1) model   arg(2) alarm (JSON)   arg(3) '1' to update the standing alarm, '' to raise it if none stands
-- Reply: the standing alarm, nil for none

local alarms = ns .. 'alarms'
local standing = redis.call('HGET', alarms, arg(1))
if (arg(3) == '1') == (standing ~= false) then
  redis.call('HSET', alarms, arg(1), arg(2))
  return arg(2)
end
return standing
