-- Store the results of attempts, and hand out the deliveries that are due. Of each key one is out at a time.
--
-- Keys: see webhook_hold.lua.
-- arg(1) id   arg(2) fence   arg(3) how many may be handed out
-- arg(4) maximum of entries in the log   arg(5) maximum of dead letters
-- arg(6..) for each result: delivery, verdict, delay (ms), hold (ms), progress, entry of the log (JSON) or '', error
--          verdict: 'delivered' | 'retry' after the delay | 'dead' | 'gone' (its outcome is no longer there: a dead
--          letter without an attempt) | 'drop' it | 'disable' the webhook, of which error is the reason | 'back' (no
--          attempt)
--          hold: send nothing at all for so long
-- Reply: {'lost'} if the lease is another's or the webhook is disabled or deleted, else
--        {'held', revision, ms until the next is due or -1, then for each that is handed out: delivery, progress}

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local FIELDS, FIRST, AT_ONCE = 7, 6, 1e12
local hook, limit = ns .. 'webhook:' .. arg(1), tonumber(arg(3))
local waiting, due, progress = hook .. ':waiting', hook .. ':due', hook .. ':progress'

local held = redis.call('HMGET', hook, 'fence', 'enabled', 'revision', 'held')
if held[1] ~= arg(2) then
  return { 'lost' }
end

local function first_of(key)
  return redis.call('ZRANGEBYLEX', waiting, '[' .. key .. ':', '(' .. key .. ';', 'LIMIT', 0, 1)[1]
end

local function number_of(delivery)
  return string.sub(delivery, 18, 33)
end

-- Let the first delivery of a key be sent next.
local function make_due(key)
  local first = first_of(key)
  if first then
    redis.call('ZADD', due, tonumber(number_of(first)), key)
  else
    redis.call('ZREM', due, key)
  end
end

local function remove(delivery)
  redis.call('ZREM', waiting, delivery)
  redis.call('ZREM', hook .. ':ages', delivery)
  redis.call('HDEL', progress, delivery)
  make_due(string.sub(delivery, 1, 16))
end

local function bury(delivery, entry)
  local dead, letters = hook .. ':dead', hook .. ':letters'
  local number = digits(tonumber(number_of(delivery)))
  redis.call('ZADD', dead, now, number)
  redis.call('HSET', letters, number, entry .. '\n' .. delivery)
  redis.call('HINCRBY', hook, 'dead', 1)
  local excess = redis.call('ZCARD', dead) - tonumber(arg(5))
  if excess > 0 then
    for _, oldest in ipairs(redis.call('ZRANGEBYSCORE', dead, '-inf', '+inf', 'LIMIT', 0, excess)) do
      redis.call('ZREM', dead, oldest)
      redis.call('HDEL', letters, oldest)
    end
  end
end

local function note_failure(error)
  redis.call('HINCRBY', hook, 'failed', 1)
  redis.call('HSETNX', hook, 'failing_since', now_text)
  redis.call('HSET', hook, 'error', error)
end

for index = FIRST, #ARGV - HEADER, FIELDS do
  local delivery, verdict, delay, hold = arg(index), arg(index + 1), arg(index + 2), tonumber(arg(index + 3))
  local entry, error = arg(index + 5), arg(index + 6)
  local key = string.sub(delivery, 1, 16)
  if redis.call('ZSCORE', waiting, delivery) then
    if verdict == 'delivered' then
      remove(delivery)
      redis.call('HINCRBY', hook, 'delivered', 1)
      redis.call('HSET', hook, 'delivered_at', now_text)
      redis.call('HDEL', hook, 'failing_since', 'error')
    elseif verdict == 'retry' then
      redis.call('HSET', progress, delivery, arg(index + 4))
      redis.call('ZADD', due, now + tonumber(delay), key)
      note_failure(error)
    elseif verdict == 'dead' or verdict == 'gone' then
      remove(delivery)
      bury(delivery, entry)
      if verdict == 'dead' then
        note_failure(error)
      end
    elseif verdict == 'drop' then
      remove(delivery)
    else
      make_due(key)
      if verdict == 'disable' then
        redis.call('HSET', hook, 'enabled', '0', 'disabled', error)
        held[2], held[3] = '0', redis.call('HINCRBY', hook, 'revision', 1)
        note_failure(error)
      end
    end
    if entry ~= '' then
      redis.call('XADD', hook .. ':log', 'MAXLEN', '~', arg(4), '*', 'entry', entry)
    end
    if hold > 0 then
      held[4] = digits(math.max(tonumber(held[4]) or 0, now + hold))
      redis.call('HSET', hook, 'held', held[4])
    end
  end
end

if held[2] ~= '1' then
  return keep_reply({ 'lost' })
end
local answer = { 'held', held[3], -1 }
local wait = (tonumber(held[4]) or 0) - now
if wait > 0 then
  answer[3] = wait
  return keep_reply(answer)
end

local function hand_out(keys)
  for _, key in ipairs(keys) do
    local first = first_of(key)
    if first then
      redis.call('ZADD', due, '+inf', key)
      answer[#answer + 1], answer[#answer + 2] = first, redis.call('HGET', progress, first) or ''
    else
      redis.call('ZREM', due, key)
    end
  end
  limit = limit - #keys
end

-- Half of the places at most are for second attempts, so that neither they nor new deliveries keep the others waiting.
if limit > 0 then
  hand_out(redis.call('ZRANGEBYSCORE', due, AT_ONCE, now, 'LIMIT', 0, math.ceil(limit / 2)))
end
if limit > 0 then
  hand_out(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit))
end
local next_due = redis.call('ZRANGEBYSCORE', due, '-inf', '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if next_due[2] then
  answer[3] = math.max(tonumber(next_due[2]) - now, 0)
end
return keep_reply(answer)
