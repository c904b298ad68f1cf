-- Hand out the most urgent queued jobs under a lease, and one of five of those without a deadline, while both wait. What
-- the owner still holds goes back: it would not ask otherwise.
--
-- Keys: job (hash), queue (zset), leases (zset), looked (string), held (zset), controls (hash), and those of an outcome:
-- see the prelude.
-- <ns>:aliases  hash  name of a model -> its digest
-- <ns>:turns    hash  queue -> jobs handed out while jobs without a deadline waited behind them
-- arg(1) queue   arg(2) owner   arg(3) most jobs to hand out, at most 1,000   arg(4) most bytes of a payload
-- arg(5..) names of models
-- Answer {now (ms), jobs that stay in the queue, {control, value, ...}, {digest of each name, or nil},
--        {id, kind, payload, attempt, fence, limit (s), deadline, submitted, correlation, note}, ...}

even_if_full()
keep_time()
local queue, owner = arg(1), arg(2)

-- The reply to its last claim got lost, so nobody has worked on these jobs: the attempt does not count. That is believed
-- as often as a job may take its worker down, so that it cannot go on for ever.
local function unheard(id)
  local claims = redis.call('HINCRBY', record(id), 'unheard', 1)
  if claims > max_attempts then
    lose(id)
  else
    ring(requeue(id, true))
  end
end

for _, entry in ipairs(redis.call('ZRANGEBYLEX', ns .. 'held', '[' .. owner .. ' ', '(' .. owner .. '!')) do
  local id = string.sub(entry, #owner + 2)
  if redis.call('EXISTS', record(id)) == 1 then
    unheard(id)
  else
    redis.call('ZREM', ns .. 'held', entry)
  end
end
expire_overdue(queue)

local controls = redis.call('HGETALL', ns .. 'controls')
if #controls > 0 then
  local node = string.match(owner, '^[^#]*')
  local stops = redis.call('HMGET', ns .. 'controls', 'pause.' .. queue, 'drain.' .. node, 'drain.' .. queue .. '@' .. node)
  if stops[1] == 'on' or stops[2] == 'on' or stops[3] == 'on' then
    return { now_text, 0, controls, {} }
  end
end

-- What submit let in is smaller; who writes to the server past it must not fill the workers' memory.
local function settle_oversized(id, bytes)
  if bytes > tonumber(arg(4)) then
    fail(id, 'failed', 'invalid_input', 'the job has ' .. bytes .. ' bytes, the limit is ' .. arg(4) .. ': it did not '
      .. 'come through submit', { bytes = bytes, limit_bytes = tonumber(arg(4)) })
    return true
  end
end

local function insert(ids, sizes, at, from, to, limit)
  local more, bytes = waiting(queue, from, to, limit)
  for index, id in ipairs(more) do
    table.insert(ids, at + index, id)
    table.insert(sizes, at + index, bytes[index])
  end
end

-- By deadline alone, a steady stream of jobs that have one would let those that have none wait for ever.
local SHARE = 5

local function chosen(most)
  local ids, sizes = waiting(queue, FIRST, FIRST, most)
  local firsts = #ids
  insert(ids, sizes, firsts, '(' .. now_text, '+inf', most - firsts)
  if #ids == firsts or get(ids[#ids], 'deadline') == ''
    or #redis.call('ZRANGEBYSCORE', ns .. 'queue:' .. queue, '+inf', '+inf', 'LIMIT', 0, 1) == 0 then
    return ids, sizes
  end
  local given = #ids - firsts
  local turns = redis.call('HINCRBY', ns .. 'turns', queue, given)
  local share = math.floor(turns / SHARE) - math.floor((turns - given) / SHARE)
  insert(ids, sizes, firsts, '+inf', '+inf', share)
  while #ids > most do
    ids[#ids], sizes[#sizes] = nil, nil
  end
  return ids, sizes
end

local claimed, places = {}, {}
local ids, sizes = chosen(tonumber(arg(3)))
for index, id in ipairs(ids) do
  if not settle_oversized(id, sizes[index]) then
    local job = redis.call('HMGET', record(id), 'kind', 'payload', 'attempt', 'fence', 'limit', 'deadline', 'submitted',
      'correlation', 'note', 'solo', 'place')
    local solo = table.remove(job, 10) == '1'
    if solo and #claimed > 0 then
      break
    end
    places[#places + 1] = table.remove(job)
    table.insert(job, 1, id)
    claimed[#claimed + 1] = job
    if solo then
      break
    end
  end
end

if #claimed > 0 then
  redis.call('ZREM', ns .. 'queue:' .. queue, unpack(places))
end
local digests = redis.call('HMGET', ns .. 'aliases', unpack(ARGV, HEADER + 5))
local answer = { now_text, redis.call('ZCARD', ns .. 'queue:' .. queue), controls, digests }
local leases, held, lease_until = {}, {}, digits(now + lease)
for _, job in ipairs(claimed) do
  local id = job[1]
  -- Microseconds rather than a counter: a server that comes back without its last second must not give a fence twice.
  job[4], job[5] = tonumber(job[4]) + 1, digits(math.max(now_us, tonumber(job[5]) + 1))
  redis.call('HSET', record(id), 'state', 'running', 'owner', owner, 'attempt', job[4], 'fence', job[5],
    'claimed', now_text, 'company', #claimed)
  leases[#leases + 1] = lease_until
  leases[#leases + 1] = id
  held[#held + 1] = 0
  held[#held + 1] = owner .. ' ' .. id
  answer[#answer + 1] = job
end
if #claimed > 0 then
  redis.call('ZADD', ns .. 'leases', unpack(leases))
  redis.call('ZADD', ns .. 'held', unpack(held))
end
return answer
