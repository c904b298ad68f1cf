-- Give running jobs back untried: no attempt is used up.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), doorbell (list): see the prelude.
-- arg(1) '1' to ring for them; '0' where whoever gives back has no room: it would spin on its own bell
-- arg(2) '1' if they are to be claimed alone from now on: their worker went down while another of their claim was at work
-- arg(3) '1' if their worker gives them back, so that it had heard of the claim; '0' if another does for it
-- arg(4..) for each job: id, fence
-- Answer   for each job 1, also on being told again, or 0 if it was no longer held

even_if_full()
local answer = {}
for index = 4, #ARGV - HEADER, 2 do
  local id, fence = arg(index), arg(index + 1)
  local released = tonumber(left(id, fence, 'release') or 0)
  if holds(id, fence) then
    local queue = requeue(id, true)
    if arg(2) == '1' then
      redis.call('HSET', record(id), 'solo', '1')
    end
    if arg(1) == '1' then
      ring(queue)
    end
    if arg(3) == '1' then
      redis.call('HDEL', record(id), 'unheard')
    end
    released = leave(id, fence, 'release', 1)
  end
  answer[#answer + 1] = released
end
return answer
