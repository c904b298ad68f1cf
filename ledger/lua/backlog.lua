-- Measure the backlog of each queue. Writes nothing.
--
-- Keys: job (hash), queue (zset), dead (zset), quarantine (list): see the prelude.
-- arg(1..) queues
-- Reply: {now (ms), dead letters, {length, when the oldest was submitted (ms or ''), quarantined}, ... for each queue}

-- Jobs of one deadline are in the order of their arrival, so the oldest job is the first of its deadline. Cards of one
-- event share a deadline, so deadlines are few. Beyond this limit the result is the oldest of the most urgent jobs.
local DEADLINES = 500

local function oldest(queue)
  local places, after, first = ns .. 'queue:' .. queue, '-inf', nil
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
  return first and get_field(string.sub(first, 18), 'submitted') or ''
end

local answer = { now_text, redis.call('ZCARD', ns .. 'dead') }
for index = 1, #ARGV - HEADER do
  local queue = arg(index)
  answer[#answer + 1] = {
    redis.call('ZCARD', ns .. 'queue:' .. queue), oldest(queue), redis.call('LLEN', ns .. 'quarantine:' .. queue),
  }
end
return answer
