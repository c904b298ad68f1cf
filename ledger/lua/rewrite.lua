-- Replace a stored payload, report or provenance by the same value in another format, unless it has changed since it was read.
--
-- Keys: job (hash): see the prelude.
-- arg(1..) for each: id, field, value that was read, value to store
-- Reply:   how many were replaced

allow_writes_when_full()
local replaced = 0
for index = 1, #ARGV - HEADER, 4 do
  local id, field = arg(index), arg(index + 1)
  if get_field(id, field) == arg(index + 2) then
    redis.call('HSET', record_key(id), field, arg(index + 3))
    replaced = replaced + 1
  end
end
return replaced
