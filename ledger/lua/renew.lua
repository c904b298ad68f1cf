-- Prolong the leases of running jobs.
--
-- Keys: job (hash), leases (zset), looked (string): see the prelude.
-- arg(1..) for each job: id, fence
-- Answer   {id, ...} of those that are no longer held

even_if_full()
keep_time()
local lost = {}
for index = 1, #ARGV - HEADER, 2 do
  local id = arg(index)
  if holds(id, arg(index + 1)) then
    redis.call('ZADD', ns .. 'leases', digits(now + lease), id)
  else
    lost[#lost + 1] = id
  end
end
return lost
