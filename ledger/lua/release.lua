-- Return running jobs to their queues without using an attempt.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), doorbell (list): see the prelude.
-- arg(1) '1' to ring their doorbells; '0' from a worker without memory for them: it would claim them again at once
-- arg(2) '1' if they must be claimed alone from now on: their worker went down while running another job of the claim
-- arg(3) '1' if their worker returns them, so that it received the claim; '0' if another process does
-- arg(4) reason, for their history
-- arg(5..) for each job: id, fence
-- Reply: for each job 1, also for a repeated call, or 0 if it was no longer held

allow_writes_when_full()
local answer = {}
for index = 5, #ARGV - HEADER, 2 do
  local id, fence = arg(index), arg(index + 1)
  local released = tonumber(earlier_result(id, fence, 'release') or 0)
  if is_current_claim(id, fence) then
    local queue = requeue(id, true, 'released', arg(4))
    if arg(2) == '1' then
      redis.call('HSET', record_key(id), 'solo', '1')
    end
    if arg(1) == '1' then
      ring_doorbell(queue)
    end
    if arg(3) == '1' then
      redis.call('HDEL', record_key(id), 'unheard')
    end
    released = record_result(id, fence, 'release', 1)
  end
  answer[#answer + 1] = released
end
return answer
