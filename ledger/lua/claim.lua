-- Hand out the most urgent queued jobs under a lease; while both kinds wait, every fifth job is one without a deadline.
-- Jobs still held by this owner are returned to the queue: it never received that claim.
--
-- Keys: job (hash), queue (zset), leases (zset), looked (string), held (zset), controls (hash), and those of an
-- outcome: see the prelude.
-- <ns>:aliases  hash  name of a model -> its digest
-- <ns>:turns    hash  queue -> jobs handed out while jobs without a deadline waited
-- arg(1) queue   arg(2) owner   arg(3) maximum of jobs, at most 1,000   arg(4) maximum of bytes of a payload
-- arg(5..) names of models
-- Reply: {now (ms), jobs left in the queue, {control, value, ...}, {digest of each name, or nil},
--        {id, kind, payload, attempt, fence, limit (s), deadline, submitted, correlation, note, caller}, ...}

allow_writes_when_full()
shift_leases()
local queue, owner = arg(1), arg(2)

-- The reply to the owner's last claim was lost, so no worker ran these jobs: the attempt does not count. This applies
-- at most `max_attempts` times to a job, so that it cannot repeat for ever.
local UNDELIVERED = 'the reply to the claim was lost'
local function requeue_undelivered(id)
  local claims = redis.call('HINCRBY', record_key(id), 'unheard', 1)
  if claims > max_attempts then
    worker_lost(id, 'undelivered', UNDELIVERED)
  else
    ring_doorbell(requeue(id, true, 'undelivered', UNDELIVERED))
  end
end

for _, entry in ipairs(redis.call('ZRANGEBYLEX', ns .. 'held', '[' .. owner .. ' ', '(' .. owner .. '!')) do
  local id = string.sub(entry, #owner + 2)
  if redis.call('EXISTS', record_key(id)) == 1 then
    requeue_undelivered(id)
  else
    redis.call('ZREM', ns .. 'held', entry)
  end
end
expire_overdue(queue)

local controls = redis.call('HGETALL', ns .. 'controls')
if #controls > 0 then
  local node = string.match(owner, '^[^#]*')
  local stops = redis.call('HMGET', ns .. 'controls', 'pause.' .. queue, 'drain.' .. node,
    'drain.' .. queue .. '@' .. node)
  if stops[1] == 'on' or stops[2] == 'on' or stops[3] == 'on' then
    return { now_text, 0, controls, {} }
  end
end

-- `submit` refuses such a payload; one written to the server in another way must not fill the workers' memory.
local function settle_oversized(id, bytes)
  if bytes > tonumber(arg(4)) then
    fail_job(id, 'failed', 'invalid_input', 'the job has ' .. bytes .. ' bytes, the limit is ' .. arg(4)
      .. ': it did not come through submit', { bytes = bytes, limit_bytes = tonumber(arg(4)) })
    return true
  end
end

local function insert_jobs(ids, sizes, at, from, to, limit)
  local more, bytes = list_waiting(queue, from, to, limit)
  for index, id in ipairs(more) do
    table.insert(ids, at + index, id)
    table.insert(sizes, at + index, bytes[index])
  end
end

-- By deadline alone, a steady stream of jobs with a deadline would keep jobs without one waiting for ever.
local NO_DEADLINE_EVERY = 5

local function choose_jobs(limit)
  local ids, sizes = list_waiting(queue, FIRST, FIRST, limit)
  local firsts = #ids
  insert_jobs(ids, sizes, firsts, '(' .. now_text, '+inf', limit - firsts)
  if #ids == firsts or get_field(ids[#ids], 'deadline') == ''
    or #redis.call('ZRANGEBYSCORE', ns .. 'queue:' .. queue, '+inf', '+inf', 'LIMIT', 0, 1) == 0 then
    return ids, sizes
  end
  local given = #ids - firsts
  local turns = redis.call('HINCRBY', ns .. 'turns', queue, given)
  local share = math.floor(turns / NO_DEADLINE_EVERY) - math.floor((turns - given) / NO_DEADLINE_EVERY)
  insert_jobs(ids, sizes, firsts, '+inf', '+inf', share)
  while #ids > limit do
    ids[#ids], sizes[#sizes] = nil, nil
  end
  return ids, sizes
end

local claimed, places, histories = {}, {}, {}
local ids, sizes = choose_jobs(tonumber(arg(3)))
for index, id in ipairs(ids) do
  if not settle_oversized(id, sizes[index]) then
    local job = redis.call('HMGET', record_key(id), 'kind', 'payload', 'attempt', 'fence', 'limit', 'deadline',
      'submitted', 'correlation', 'note', 'caller', 'solo', 'place', 'history')
    local history = table.remove(job)
    local exclusive = table.remove(job, 11) == '1'
    if exclusive and #claimed > 0 then
      break
    end
    places[#places + 1], histories[#histories + 1] = table.remove(job), history
    table.insert(job, 1, id)
    claimed[#claimed + 1] = job
    if exclusive then
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
for index, job in ipairs(claimed) do
  local id = job[1]
  -- Microseconds and not a counter: a server restored without its last second must not issue a fence twice.
  job[4], job[5] = tonumber(job[4]) + 1, digits(math.max(now_us, tonumber(job[5]) + 1))
  redis.call('HSET', record_key(id), 'state', 'running', 'owner', owner, 'attempt', job[4], 'fence', job[5],
    'claimed', now_text, 'company', #claimed, 'history',
    with_event(histories[index], 'claimed', job[4], job[5], owner, ''))
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
