-- Measure the backlog of each queue. Writes nothing.
--
-- Keys: job (hash), queue (zset), dead (zset), waiting (zset), quarantine (list): see the prelude.
-- arg(1..) queues
-- Reply: {now (ms), dead letters, jobs that wait for a time or another job, {length, since when the oldest is queued (ms
--         or ''), quarantined, {caller, jobs, ...}}, ... for each queue}; callers beyond CALLERS are left out

-- Jobs of one deadline are in the order of their arrival, so the oldest job is the first of its deadline. Cards of one
-- event share a deadline, so deadlines are few. Beyond this limit the result is the oldest of the most urgent jobs.
local DEADLINES = 500
local CALLERS = 50

local function oldest_of(places)
  local after, first = '-inf', nil
  for _ = 1, DEADLINES do
    local found = redis.call('ZRANGEBYSCORE', places, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if #found == 0 then
      break
    end
    first = (not first or found[1] < first) and found[1] or first
    if found[2] == 'inf' then
      break
    end
    after = '(' .. found[2]
  end
  return first
end

local function oldest(queue)
  local unnamed, named = oldest_of(queue_key(queue)), oldest_of(named_key(queue))
  local first = (not unnamed or (named and named < unnamed)) and named or unnamed
  local times = first and redis.call('HMGET', record_key(string.sub(first, 18)), 'queued', 'submitted')
  return times and (times[1] or times[2]) or ''
end

local function callers_of(queue)
  local found = {}
  for _, caller in ipairs(redis.call('ZRANGEBYSCORE', ns .. 'callers:' .. queue, '-inf', '+inf', 'LIMIT', 0, CALLERS)) do
    local waits = redis.call('ZCARD', queue_key(queue, caller))
    if caller ~= '' and waits > 0 then
      found[#found + 1], found[#found + 2] = caller, waits
    end
  end
  return found
end

local answer = { now_text, redis.call('ZCARD', ns .. 'dead'), redis.call('ZCARD', ns .. 'waiting') }
for index = 1, #ARGV - HEADER do
  local queue = arg(index)
  answer[#answer + 1] = {
    queue_length(queue), oldest(queue), redis.call('LLEN', ns .. 'quarantine:' .. queue), callers_of(queue),
  }
end
return answer
