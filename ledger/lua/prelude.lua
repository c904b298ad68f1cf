-- Stands before every script: the common arguments, the keys, and the moves that more than one script makes.
--
-- No KEYS are passed. Key names are built here from the namespace <ns>, so that a ledger lives on one node.
--
-- <ns>:job:<id>          hash    the record of a job
--     kind, queue, payload, digest, correlation, submitted (ms), deadline (ms or ''), limit (s)   set by submit
--     place              its member in the queue: 16 digits of arrival, ':', id
--     first              '1' if it goes before all others
--     state              queued | running | succeeded | failed | expired | cancelled
--     attempt            number of the current or last attempt; 0 before the first claim
--     fence              grows with every claim; only who knows the current one may speak for the job
--     owner, claimed (ms), company (jobs in the same claim), progress (JSON)                      while running
--     solo               '1' after its worker went down with several jobs: from now on it is claimed alone
--     unheard            claims of which its owner seems never to have heard, since one was heard of
--     left               the last fence that was given up by its owner, how, and what was answered
--     note               what its last worker left for the next, when it parked the job
--     woken              '1' when it was to be woken while it ran
--     settled (ms), and report or failure (JSON)                                                  once final
--     origin             what made it beside the job (JSON), if a worker did
-- <ns>:forgotten:<id>    string  digest of a settled job; outlives its record
-- <ns>:queue:<queue>     zset    places of queued jobs by deadline (ms, +inf without; 0 before all others): first is most urgent
-- <ns>:parked            zset    ids of queued jobs that wait for something else than a worker, by when they are due (ms)
-- <ns>:leases            zset    ids of running jobs by the end of their lease (ms)
-- <ns>:looked            string  when a pool last looked after the leases (ms): see keep_time
-- <ns>:held              zset    '<owner> <id>' of running jobs, all with score 0, read by prefix
-- <ns>:doorbell:<queue>  list    opaque items that wake a worker; how many there are promises nothing
-- <ns>:rung              hash    queue -> when its doorbell was last rung by reap (ms)
-- <ns>:outcomes          stream  `job`: id of each settled job, in the order of settling; `number`: one more than the last,
--                                so that who reads them sees if some are gone
-- <ns>:counts            hash    `outcomes`: the number of the last entry of that stream
-- <ns>:dead              zset    ids of jobs that ended as worker_lost, by time (ms)
-- <ns>:controls          hash    what operators have set: see control.lua
-- <ns>:sequence          string  counter of arrivals
-- <ns>:reply:<token>     string  what a call was answered (MessagePack), for as long as it may be repeated
-- <ns>:news:<db>:<id>    channel the JSON of a progress; the outcome (MessagePack, see tell_settled), or 'settled'
--
-- ARGV[1] namespace        ARGV[2] retention (ms)   ARGV[3] tombstone (ms)   ARGV[4] cap of the stream
-- ARGV[5] cap of doorbells ARGV[6] max attempts     ARGV[7] lease (ms)       ARGV[8] number of the database <db>,
-- which channels do not know      ARGV[9] how long a reply is kept (ms)      ARGV[10] token of the call, the same when it
-- is repeated because its reply was lost      then the script's own: arg(1), ...

local ns = ARGV[1] .. ':'
local retention, tombstone, outcomes_cap = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local doorbell_cap, max_attempts, lease = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local HEADER = 10
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

local function arg(index)
  return ARGV[HEADER + index]
end

-- A server at its maxmemory refuses a script's first write if that could need memory, and then lets all others pass. So
-- what brings accepted jobs to their end begins with a write that needs none: else leases would run out for want of it.
local function even_if_full()
  redis.call('ZREM', ns .. 'leases', '')
end

-- Lua's own conversion would round a time to 14 digits.
local function digits(number)
  return string.format('%.0f', number)
end
local now_text = digits(now)

local function record(id)
  return ns .. 'job:' .. id
end

-- A call that is repeated because its reply was lost changes nothing and is answered what it was answered: scripts whose
-- answer depends on what they change ask for that first, and keep their answer when they have changed something.
local function answered()
  local kept = redis.call('GET', ns .. 'reply:' .. ARGV[10])
  return kept and cmsgpack.unpack(kept)
end

local function keep(answer)
  redis.call('SET', ns .. 'reply:' .. ARGV[10], cmsgpack.pack(answer), 'PX', ARGV[9])
  return answer
end

local function news(id)
  return ns .. 'news:' .. ARGV[8] .. ':' .. id
end

local function get(id, field)
  return redis.call('HGET', record(id), field)
end

local function ring(queue)
  local bell = ns .. 'doorbell:' .. queue
  if redis.call('LLEN', bell) < doorbell_cap then
    redis.call('LPUSH', bell, '!')
    return 1
  end
  return 0
end

local function holds(id, fence)
  local held = redis.call('HMGET', record(id), 'state', 'fence')
  return held[1] == 'running' and held[2] == fence
end

-- Who gives up a claim and does not hear the reply says so again, perhaps in another call: the fence tells that it is the
-- same claim. `way` is the name of the script.
local function left(id, fence, way)
  return string.match(get(id, 'left') or '', '^' .. fence .. ' ' .. way .. ' (.+)$')
end

local function leave(id, fence, way, answer)
  redis.call('HSET', record(id), 'left', fence .. ' ' .. way .. ' ' .. answer)
  return answer
end

-- `first` is '1' for a job that goes before all others: its score is before any time.
local FIRST = 0
local function line_up(queue, place, deadline, first)
  local score = first == '1' and FIRST or deadline == '' and '+inf' or deadline
  redis.call('ZADD', ns .. 'queue:' .. queue, score, place)
end

local function enqueue(id)
  local job = redis.call('HMGET', record(id), 'queue', 'place', 'deadline', 'first')
  line_up(unpack(job))
  return job[1]
end

-- Write the record of a new job and queue it. `arrival` puts it behind those of the same deadline that came before.
local function accept(id, arrival, digest, kind, queue, payload, deadline, limit, correlation, first)
  local place = string.format('%016d', arrival) .. ':' .. id
  redis.call('HSET', record(id), 'digest', digest, 'kind', kind, 'queue', queue, 'payload', payload, 'deadline', deadline,
    'limit', limit, 'correlation', correlation, 'submitted', now_text, 'place', place, 'state', 'queued', 'attempt', 0,
    'fence', 0)
  if first == '1' then
    redis.call('HSET', record(id), 'first', first)
  end
  line_up(queue, place, deadline, first)
  ring(queue)
end

-- Take a running job out of its owner's hands. A job that had an outcome and a lease would run again, so each is let go
-- before its outcome is written, whatever comes after.
local function let_go(id, owner, company)
  redis.call('ZREM', ns .. 'leases', id)
  if company == '1' then
    redis.call('ZREM', ns .. 'overtime', id) -- which earlier versions write, and end jobs by
  end
  redis.call('ZREM', ns .. 'held', (owner or '') .. ' ' .. id)
  redis.call('HDEL', record(id), 'owner', 'claimed', 'company', 'progress')
end

-- Take a job out of the queue or out of its owner's hands: it is in one of them. Answers its digest and kind.
local function detach(id)
  local job = redis.call('HMGET', record(id), 'queue', 'place', 'owner', 'company', 'digest', 'kind')
  if job[3] then
    let_go(id, job[3], job[4])
  elseif redis.call('ZREM', ns .. 'queue:' .. job[1], job[2]) == 0 then
    redis.call('ZREM', ns .. 'parked', id)
  end
  return job[5], job[6]
end

-- Leases and what is parked run on the server's clock, but a clock that is set must not change them, and a lease must not
-- run out while the server stands still or no pool can reach it. So of the time since a pool last looked, a fifth of a
-- lease counts at most, and both are moved by the rest, but not beyond a new lease. Called before either is written or
-- judged.
local function keep_time()
  local passed = now - tonumber(redis.call('GET', ns .. 'looked') or now)
  local moved = passed - math.min(math.max(passed, 0), math.ceil(lease / 5))
  if moved == 0 then
    return
  end
  for _, name in ipairs({ 'leases', 'parked' }) do
    local due = redis.call('ZRANGEBYSCORE', ns .. name, '-inf', '+inf', 'WITHSCORES')
    for index = 1, #due, 2 do
      redis.call('ZADD', ns .. name, digits(math.min(tonumber(due[index + 1]) + moved, now + lease)), due[index])
    end
  end
  redis.call('SET', ns .. 'looked', now_text)
end

-- From among the parked back into the queue, if it is there.
local function unpark(id)
  if redis.call('ZREM', ns .. 'parked', id) == 1 and redis.call('EXISTS', record(id)) == 1 then
    ring(enqueue(id))
  end
end

-- Back into the queue at its old place, uncharging the attempt if that is not to count. Its fence is void by its state.
local function requeue(id, uncharged)
  detach(id)
  redis.call('HSET', record(id), 'state', 'queued')
  if uncharged then
    redis.call('HINCRBY', record(id), 'attempt', -1)
  end
  return enqueue(id)
end

-- What workers ask of each other, and no caller waits for, is in no stream.
local UNSEEN = { shadow_card = true, train_part = true, backtest_part = true }

-- Who waits here is told the outcome itself, and need not ask for it. Who listens at a replica is not counted here. What
-- is settled is at hand, and is not read back: it may be long.
local function tell_settled(id, state, field, body, origin)
  local told, channel = 'settled', news(id)
  local heard = redis.pcall('PUBSUB', 'NUMSUB', channel) -- a user of an older users.acl may not ask
  if not heard.err and heard[2] > 0 then
    local job = redis.call('HMGET', record(id), 'kind', 'attempt', 'submitted', 'correlation')
    told = cmsgpack.pack({ state, job[1], job[2], job[3], now_text, field == 'report' and body,
      field == 'failure' and body, job[4], origin })
  end
  redis.call('PUBLISH', channel, told)
end

-- The only way to an outcome, of a job that is detached. `field` is report or failure. Callers have made sure that there
-- is none yet.
local function finish(id, digest, kind, state, field, body, origin)
  local key = record(id)
  origin = origin ~= '' and origin or false
  if origin then
    redis.call('HSET', key, 'state', state, 'settled', now_text, field, body, 'origin', origin)
  else
    redis.call('HSET', key, 'state', state, 'settled', now_text, field, body)
  end
  redis.call('PEXPIRE', key, retention)
  redis.call('SET', ns .. 'forgotten:' .. id, digest, 'PX', retention + tombstone)
  if not UNSEEN[kind] then
    local number = digits((redis.call('HGET', ns .. 'counts', 'outcomes') or 0) + 1)
    redis.call('HSET', ns .. 'counts', 'outcomes', number)
    redis.call('XADD', ns .. 'outcomes', 'MAXLEN', '~', outcomes_cap, '*', 'job', id, 'number', number)
  end
  tell_settled(id, state, field, body, origin)
end

local function fail(id, state, code, message, details, retryable)
  local failure = { code = code, message = message, retryable = retryable or false, details = details }
  local digest, kind = detach(id)
  finish(id, digest, kind, state, 'failure', cjson.encode(failure))
end

local function expire(id)
  local late = (now - tonumber(get(id, 'deadline'))) / 1000
  fail(id, 'expired', 'expired',
    'the deadline passed before an answer: submit earlier, add workers, or set a later deadline', { late_seconds = late })
end

-- List queued jobs by urgency, and the bytes of their payloads. One whose record was deleted by hand or evicted must not
-- block those behind it.
local function waiting(queue, from, to, limit)
  local ids, sizes, places = {}, {}, ns .. 'queue:' .. queue
  for _, place in ipairs(redis.call('ZRANGEBYSCORE', places, from, to, 'LIMIT', 0, limit)) do
    local id = string.sub(place, 18)
    local bytes = redis.call('HSTRLEN', record(id), 'payload')
    if bytes > 0 or redis.call('EXISTS', record(id)) == 1 then
      ids[#ids + 1], sizes[#sizes + 1] = id, bytes
    else
      redis.call('ZREM', places, place)
    end
  end
  return ids, sizes
end

-- Settle what waits in a queue beyond its deadline; at most 1,000, so that no script holds the server for long.
local function expire_overdue(queue)
  local overdue = waiting(queue, '(' .. FIRST, now_text, 1000)
  for _, id in ipairs((waiting(queue, FIRST, FIRST, 1000))) do
    local deadline = tonumber(get(id, 'deadline') or '')
    if deadline and deadline <= now then
      overdue[#overdue + 1] = id
    end
  end
  for _, id in ipairs(overdue) do
    expire(id)
  end
  return #overdue
end

-- The worker of a running job is gone, and the job was at work then or may have been: the attempt counts, and the last
-- one allowed is the end. Lost in company, it comes alone next, so that nobody else pays for it again. Answers the new
-- state; nil if the record is gone.
local function lose(id)
  local job = redis.call('HMGET', record(id), 'attempt', 'company')
  local attempts = tonumber(job[1])
  if not attempts then
    redis.call('ZREM', ns .. 'leases', id)
    return nil
  elseif attempts < max_attempts then
    if job[2] ~= '1' then
      redis.call('HSET', record(id), 'solo', '1')
    end
    ring(requeue(id))
    return 'queued'
  end
  fail(id, 'failed', 'worker_lost', 'the job took its worker down ' .. attempts .. ' times: it will not be tried again',
    { attempts = attempts })
  redis.call('ZADD', ns .. 'dead', now_text, id)
  return 'failed'
end
