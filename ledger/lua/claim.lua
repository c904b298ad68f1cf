-- Hand out the most urgent queued jobs under a lease. What the owner still holds is lost: it would not ask otherwise.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), and those of an outcome: see the prelude.
-- arg(1) queue   arg(2) owner   arg(3) most jobs to hand out
-- Answer {now (ms), {id, kind, payload, attempt, fence, limit, deadline, submitted, correlation}, ...}

local queue, owner = arg(1), arg(2)

for _, entry in ipairs(redis.call('ZRANGEBYLEX', ns .. 'held', '[' .. owner .. ' ', '(' .. owner .. '!')) do
  lose(string.sub(entry, #owner + 2))
end
expire_overdue(queue)

local claimed = {}
for _, id in ipairs(waiting(queue, '(' .. digits(now), '+inf', arg(3))) do
  local solo = get(id, 'solo') == '1'
  if solo and #claimed > 0 then
    break
  end
  claimed[#claimed + 1] = id
  if solo then
    break
  end
end

local answer = { digits(now) }
for _, id in ipairs(claimed) do
  detach(id)
  -- Microseconds rather than a counter: a server that comes back without its last second must not give a fence twice.
  local fence = digits(math.max(now_us, tonumber(get(id, 'fence')) + 1))
  local attempt = redis.call('HINCRBY', record(id), 'attempt', 1)
  redis.call('HSET', record(id), 'state', 'running', 'owner', owner, 'fence', fence, 'claimed', digits(now),
    'company', #claimed)
  redis.call('ZADD', ns .. 'leases', digits(now + lease), id)
  redis.call('ZADD', ns .. 'held', 0, owner .. ' ' .. id)
  local job = redis.call('HMGET', record(id), 'kind', 'payload', 'limit', 'deadline', 'submitted', 'correlation')
  answer[#answer + 1] = { id, job[1], job[2], attempt, fence, job[3], job[4], job[5], job[6] }
end
return answer
