-- Prolong the leases of running jobs.
--
-- Keys: job (hash), leases (zset), looked (string): see the prelude.
-- arg(1..) for each job: id, fence
-- Reply: {id, ...} of those that are no longer held

allow_writes_when_full()
shift_leases()
local lost = {}
for index = 1, #ARGV - HEADER, 2 do
  local id = arg(index)
  if is_current_claim(id, arg(index + 1)) then
    redis.call('ZADD', ns .. 'leases', digits(now + lease), id)
  else
    lost[#lost + 1] = id
  end
end
return lost
