-- Remove the prices of a fight that are in the archive, unless there are newer ones.
--
-- <ns>:prices:<fight>, <ns>:quotes:<fight>, <ns>:priced  see record_prices.lua. What remains of a fight, in
--     <ns>:quotes:<fight>: start, read and before, so that older readings do not come in again, and archived, the
--     months of the archive that have its prices
-- arg(1) id of the fight   arg(2) id of the newest archived entry   arg(3) month of the archive, '' if it had no prices
-- Reply: 1; 0 if there are newer prices

local id, month = arg(1), arg(3)
local stream, state_key = ns .. 'prices:' .. id, ns .. 'quotes:' .. id
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
local kept = redis.call('HMGET', state_key, 'read', 'start', 'before', 'archived')
local months = kept[4] or month
local known = string.find(' ' .. months .. ' ', ' ' .. month .. ' ', 1, true)
if not newest then
  return kept[4] and known and 1 or 0 -- 1: this call is repeated because its reply was lost
elseif newest[1] ~= arg(2) then
  return 0
end
redis.call('DEL', stream)
redis.call('ZREM', ns .. 'priced', id)
redis.call('DEL', state_key)
if not known then
  months = months .. ' ' .. month
end
local fields = { 'archived', months }
for index, name in ipairs({ 'read', 'start', 'before' }) do
  if kept[index] then
    fields[#fields + 1], fields[#fields + 2] = name, kept[index]
  end
end
redis.call('HSET', state_key, unpack(fields))
return 1
