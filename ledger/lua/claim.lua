-- Hand out queued jobs under a lease: of each caller in turn the most urgent; while both kinds of a caller wait, every
-- fifth of its jobs is one without a deadline.
-- Jobs still held by this owner are returned to the queue: it never received that claim. Waiting jobs whose time has come
-- are queued first.
--
-- Keys: job (hash), queue (zset), leases (zset), looked (string), held (zset), controls (hash), and those of an
-- outcome: see the prelude.
-- <ns>:aliases  hash  name of a model -> its digest
-- <ns>:turns    hash  queue (jobs without a caller), or '<queue> <caller>' -> jobs handed out while jobs without a
--                     deadline waited
-- arg(1) queue   arg(2) owner   arg(3) maximum of jobs, at most 1,000   arg(4) maximum of bytes of a payload
-- arg(5..) names of models
-- Reply: {now (ms), jobs left in the queue, {control, value, ...}, {digest of each name, or nil}, format for reports,
--        {kind, payload, attempt, fence, limit (s), deadline, submitted, correlation, note, caller, when it
--        was queued (ms) if it had to wait, trace context, chain, history before this claim, id}, ...}

allow_writes_when_full()
shift_leases()
local queue, owner = arg(1), arg(2)

-- The reply to the owner's last claim was lost, so no worker ran these jobs: the attempt does not count. This applies
-- at most `max_attempts` times to a job, so that it cannot repeat for ever.
local UNDELIVERED = 'the reply to the claim was lost'
for _, entry in ipairs(redis.call('ZRANGEBYLEX', ns .. 'held', '[' .. owner .. ' ', '(' .. owner .. '!')) do
  local id = string.sub(entry, #owner + 2)
  if redis.call('EXISTS', record_key(id)) == 0 then
    redis.call('ZREM', ns .. 'held', entry)
  elseif redis.call('HINCRBY', record_key(id), 'unheard', 1) > max_attempts then
    rare().worker_lost(id, 'undelivered', UNDELIVERED)
  else
    rare().ring_doorbell(rare().requeue(id, true, 'undelivered', UNDELIVERED))
  end
end

settle_successors(100)
-- The first jobs without a caller, and their scores, say mostly that no job is overdue, and which ones to hand out.
local places, named, ring = queue_key(queue), named_key(queue), ns .. 'callers:' .. queue
local front = redis.call('ZRANGEBYSCORE', places, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, arg(3))
local all_later = #front == 0 or front[2] == 'inf' or tonumber(front[2]) > now -- also, none goes before all others
local has_named = redis.call('ZCARD', named) > 0
if has_named or not all_later then
  rare().expire_overdue(queue)
end

local controls = redis.call('HGETALL', ns .. 'controls')
if #controls > 0 then
  local node = string.match(owner, '^[^#]*')
  local stops = redis.call('HMGET', ns .. 'controls', 'pause.' .. queue, 'drain.' .. node,
    'drain.' .. queue .. '@' .. node)
  if stops[1] == 'on' or stops[2] == 'on' or stops[3] == 'on' then
    return { now_text, 0, controls, {}, stored_format() }
  end
end

-- Return what chooses jobs of which some go before all others, have a deadline or a caller, and what ends the turns of
-- callers; made only for calls that need it.
local function choosing()
  -- By deadline alone, a steady stream of jobs with a deadline would keep jobs without one waiting for ever.
  local NO_DEADLINE_EVERY = 5

  -- Choose jobs of one caller: the earliest deadlines, and its share of jobs without one.
  local function choose_jobs(places, turns, limit)
    local ids, sizes = rare().list_waiting(places, '(' .. now_text, '+inf', limit, named_key(queue))
    if #ids == 0 or rare().get_field(ids[#ids], 'deadline') == ''
      or #redis.call('ZRANGEBYSCORE', places, '+inf', '+inf', 'LIMIT', 0, 1) == 0 then
      return ids, sizes
    end
    local given = #ids
    local handed_out = redis.call('HINCRBY', ns .. 'turns', turns, given)
    local share = math.floor(handed_out / NO_DEADLINE_EVERY) - math.floor((handed_out - given) / NO_DEADLINE_EVERY)
    local more, bytes = rare().list_waiting(places, '+inf', '+inf', share, named_key(queue))
    for index, id in ipairs(more) do
      table.insert(ids, index, id)
      table.insert(sizes, index, bytes[index])
    end
    while #ids > limit do
      ids[#ids], sizes[#sizes] = nil, nil
    end
    return ids, sizes
  end

  local function turns_field(caller)
    return caller == '' and queue or queue .. ' ' .. caller
  end

  -- Take the next numbers in the order of turns, and return the first of them.
  local function next_number(count)
    local last = tonumber(redis.call('HGET', ns .. 'turns', queue .. '#') or 0)
    redis.call('HSET', ns .. 'turns', queue .. '#', digits(last + count))
    return digits(last + 1)
  end

  local function leave_turns(caller)
    redis.call('ZREM', ring, caller)
    if caller ~= '' then
      redis.call('HDEL', ns .. 'turns', turns_field(caller))
    end
  end

  -- List the callers whose turn is next, and how many jobs of each wait. `firsts` jobs of those without a caller go before
  -- all others and do not count.
  local function next_callers(limit, firsts)
    if redis.call('ZCARD', queue_key(queue)) > firsts and not redis.call('ZSCORE', ring, '') then
      redis.call('ZADD', ring, next_number(1), '') -- until now the others had no jobs, so that it had all turns
    end
    local found, gone
    repeat
      found, gone = {}, false
      local standing = redis.call('ZRANGEBYSCORE', ring, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
      for index = 1, #standing, 2 do
        local caller = standing[index]
        local waits = redis.call('ZCARD', queue_key(queue, caller)) - (caller == '' and firsts or 0)
        if waits > 0 then
          found[#found + 1] = { caller = caller, number = tonumber(standing[index + 1]), waits = waits, share = 0 }
        else
          leave_turns(caller)
          gone = true
        end
      end
    until not gone
    return found
  end

  -- Add jobs of the callers in turn to ids, sizes and turns, so that one who has queued many does not delay the others.
  local function share_out(limit, ids, sizes, turns)
    local firsts = #ids
    local line = next_callers(limit, firsts)
    local head, order = 1, {}
    while #order < limit and head <= #line do
      local caller = line[head]
      caller.share, order[#order + 1] = caller.share + 1, caller
      if caller.share < caller.waits then
        line[#line + 1] = caller
      end
      head = head + 1
    end
    for _, caller in ipairs(order) do
      if not caller.ids then
        caller.ids, caller.sizes =
          choose_jobs(queue_key(queue, caller.caller), turns_field(caller.caller), caller.share)
        caller.chosen = 0
      end
      caller.chosen = caller.chosen + 1
      if caller.ids[caller.chosen] then
        ids[#ids + 1], sizes[#sizes + 1] = caller.ids[caller.chosen], caller.sizes[caller.chosen]
        turns[#ids] = caller
      end
    end
  end

  -- Return the ids of jobs, the bytes of their payloads, and the callers whose turns they are, by their number.
  local function choose(limit)
    local ids, sizes = rare().list_waiting(places, FIRST, FIRST, limit)
    local turns, firsts = {}, #ids
    if redis.call('ZCARD', ring) > 0 then
      share_out(limit - firsts, ids, sizes, turns)
      return ids, sizes, turns
    end
    local more, bytes = choose_jobs(places, queue, limit - firsts)
    for index, id in ipairs(more) do
      ids[firsts + index], sizes[firsts + index] = id, bytes[index]
    end
    return ids, sizes, turns
  end

  -- Let the callers who had a turn stand behind the others, in the order of their turns; also one without further jobs, so
  -- that it does not come back before them. Beyond MAX_STANDING callers it goes at once: names are few where they mean
  -- something.
  local MAX_STANDING = 1000

  local function end_turns(callers)
    local first, now_at, standing = tonumber(next_number(#callers)), 0, {}
    local crowded = redis.call('ZCARD', ring) > MAX_STANDING
    for index, caller in ipairs(callers) do
      now_at = math.max(now_at, caller.number)
      if caller.caller ~= '' then
        redis.call('ZREM', queue_key(queue, caller.caller), unpack(caller.places))
        redis.call('ZREM', named_key(queue), unpack(caller.places))
      end
      local alone = caller.caller == '' and redis.call('ZCARD', ring) == 1 -- then it needs no turns
      if alone or (crowded and redis.call('ZCARD', queue_key(queue, caller.caller)) == 0) then
        leave_turns(caller.caller)
      else
        standing[#standing + 1] = digits(first + index - 1)
        standing[#standing + 1] = caller.caller
      end
    end
    redis.call('HSET', ns .. 'turns', queue .. '@', digits(now_at))
    if #standing > 0 then
      redis.call('ZADD', ring, unpack(standing))
    end
  end
  return choose, end_turns
end

local ids, sizes, turns, end_turns
if all_later and (#front == 0 or front[#front] == 'inf') and redis.call('ZCARD', ring) == 0 then
  ids, sizes = list_existing(front, 2, places, named)
else
  local choose
  choose, end_turns = choosing()
  ids, sizes, turns = choose(tonumber(arg(3)))
end
local claimed, unnamed = {}, {}
local callers = {} -- those who had a turn, by their last job
for index, id in ipairs(ids) do
  local size, caller = sizes[index], turns and turns[index]
  -- `submit` refuses such a payload; one written to the server in another way must not fill the workers' memory.
  if size > tonumber(arg(4)) then
    rare().fail_job(id, 'failed', 'invalid_input', 'the job has ' .. size .. ' bytes, the limit is ' .. arg(4)
      .. ': it did not come through submit', { bytes = size, limit_bytes = tonumber(arg(4)) })
  else
    local job = redis.call('HMGET', record_key(id), 'kind', 'payload', 'attempt', 'fence', 'limit', 'deadline',
      'submitted', 'correlation', 'note', 'caller', 'queued', 'trace', 'chain', 'history', 'solo', 'place', 'state')
    local exclusive, place, state = job[15] == '1', job[16], job[17]
    if state ~= 'queued' then -- a version without callers has ended it
      rare().remove_from_queue(queue, place, job[10])
    elseif exclusive and #claimed > 0 then
      break
    else
      job[15], job[16], job[17] = id, nil, nil
      claimed[#claimed + 1] = job
      if not caller or caller.caller == '' then
        unnamed[#unnamed + 1] = place
      else
        caller.places = caller.places or {}
        caller.places[#caller.places + 1] = place
      end
      if caller then
        if not caller.last then
          callers[#callers + 1] = caller
        end
        caller.last = #claimed
      end
      if exclusive then
        break
      end
    end
  end
end

if #unnamed > 0 then
  redis.call('ZREM', places, unpack(unnamed))
end
if #callers > 0 then
  table.sort(callers, function(one, other) return one.last < other.last end)
  end_turns(callers)
end
local digests = redis.call('HMGET', ns .. 'aliases', unpack(ARGV, HEADER + 5))
local left = redis.call('ZCARD', places) + (has_named and redis.call('ZCARD', named) or 0)
local answer = { now_text, left, controls, digests, stored_format() }
local leases, held, lease_until = {}, {}, digits(now + lease)
for _, job in ipairs(claimed) do
  local id = job[15]
  -- Microseconds and not a counter: a server restored without its last second must not issue a fence twice.
  job[3], job[4] = tonumber(job[3]) + 1, digits(math.max(now_us, tonumber(job[4]) + 1))
  redis.call('HSET', record_key(id), 'state', 'running', 'owner', owner, 'attempt', job[3], 'fence', job[4],
    'claimed', now_text, 'company', #claimed, 'history',
    with_event(job[14], 'claimed', job[3], job[4], owner, ''))
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
settle_successors()
return answer
