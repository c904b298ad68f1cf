-- Give running jobs back untried: no attempt is used up.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), doorbell (list): see the prelude.
-- arg(1) '1' to ring for them; '0' where whoever gives back has no room: it would spin on its own bell
-- arg(2) '1' if they are to be claimed alone from now on: their worker went down while another of their claim was at work
-- arg(3..) for each job: id, fence
-- Answer   for each job 1, or 0 if it was no longer held

even_if_full()
local answer = {}
for index = 3, #ARGV - HEADER, 2 do
  local id, released = arg(index), 0
  if holds(id, arg(index + 1)) then
    local queue = requeue(id, true)
    if arg(2) == '1' then
      redis.call('HSET', record(id), 'solo', '1')
    end
    if arg(1) == '1' then
      ring(queue)
    end
    released = 1
  end
  answer[#answer + 1] = released
end
return answer
