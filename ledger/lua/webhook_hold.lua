-- Announce a relay, renew its leases on webhooks, and take over free webhooks up to its share. Relays call this several
-- times a lease.
--
-- <ns>:webhooks          zset    ids of webhooks by creation (ms)
-- <ns>:webhook:<id>      hash    a webhook
--     definition (JSON), created (ms), created_by, changed (ms), changed_by                        set by operators
--     enabled            '1' or '0'; disabled: the reason, '' for none
--     revision           grows with every change that a relay must know of
--     cursor             place of the last outcome that was read; seen: its number in the stream, '' if unknown
--     number             counter of deliveries
--     fence, owner, until (ms)   the lease of the relay that delivers; fence grows with every take-over
--     held (ms)          nothing is sent before; as the receiver asked by Retry-After
--     delivered, failed, dead, missed   counters; delivered_at, failing_since, missed_at (ms) and error
-- <ns>:webhook:<id>:waiting   zset   deliveries, all with score 0: '<key>:<number>:<settled ms>:<event>', where key has
--                                    16 hexadecimal digits and number 16 digits. Those of one key are sent one after
--                                    the other. <event> is 'j' and a job's id, 'm' and JSON, or 't' and a text
-- <ns>:webhook:<id>:ages      zset   the same by when the outcome was settled (ms)
-- <ns>:webhook:<id>:due       zset   key -> when its first delivery is due (ms); below 1e12: at once, in this order;
--                                    +inf: it is being sent
-- <ns>:webhook:<id>:progress  hash   delivery -> '<attempts> <ms of waiting between them>'
-- <ns>:webhook:<id>:log       stream `entry`: an attempt (JSON), trimmed
-- <ns>:webhook:<id>:dead      zset   numbers of dead letters by time (ms); bounded
-- <ns>:webhook:<id>:letters   hash   number -> the last attempt (JSON), line feed, delivery
-- <ns>:relays            zset    living relays by the end of their announcement (ms)
-- <ns>:relays:looked     string  when a relay last called this (ms)
-- arg(1) relay   arg(2..) for each webhook that the relay delivers: id, fence
-- Reply: how many webhooks the relay has above its share, then for each that it holds: id, fence, revision

allow_writes_when_full()
local relay, relays = arg(1), ns .. 'relays'

local function hook_key(id)
  return ns .. 'webhook:' .. id
end

-- If the server's clock was set back, what was due would wait for as long; a small step does not matter.
local function follow_clock(ids)
  local back = tonumber(redis.call('GET', relays .. ':looked') or now) - now
  if back > 1000 then
    redis.call('ZREMRANGEBYSCORE', relays, '-inf', '+inf')
    for _, id in ipairs(ids) do
      local due = hook_key(id) .. ':due'
      local later = redis.call('ZRANGEBYSCORE', due, '1000000000000', '(+inf', 'WITHSCORES')
      for index = 1, #later, 2 do
        redis.call('ZADD', due, digits(tonumber(later[index + 1]) - back), later[index])
      end
      local held = redis.call('HMGET', hook_key(id), 'held', 'until')
      redis.call('HSET', hook_key(id), 'held', digits((tonumber(held[1]) or 0) - back),
        'until', digits((tonumber(held[2]) or 0) - back))
    end
  end
  redis.call('SET', relays .. ':looked', now_text)
end

local delivers = {}
for index = 2, #ARGV - HEADER, 2 do
  delivers[arg(index)] = arg(index + 1)
end
local ids = redis.call('ZRANGEBYSCORE', ns .. 'webhooks', '-inf', '+inf')
follow_clock(ids)
redis.call('ZADD', relays, now + lease, relay)
redis.call('ZREMRANGEBYSCORE', relays, '-inf', now)

local answer, free, enabled = { 0 }, {}, 0
local function hold(id, fence, revision)
  redis.call('HSET', hook_key(id), 'owner', relay, 'until', now + lease)
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = id, fence, revision
end

for _, id in ipairs(ids) do
  local hook = redis.call('HMGET', hook_key(id), 'enabled', 'owner', 'until', 'fence', 'revision')
  if hook[1] == '1' then
    enabled = enabled + 1
    if hook[2] == relay and delivers[id] == hook[4] then
      hold(id, hook[4], hook[5])
    elseif not hook[2] or hook[2] == relay or tonumber(hook[3]) <= now then
      free[#free + 1] = id
    end
  elseif hook[2] == relay then
    redis.call('HDEL', hook_key(id), 'owner', 'until')
  end
end
local share, count = math.ceil(enabled / redis.call('ZCARD', relays)), (#answer - 1) / 3
for _, id in ipairs(free) do
  if count < share then
    count = count + 1
    -- What the relay before was sending when it lost the webhook is sent again.
    local due = hook_key(id) .. ':due'
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', due, '+inf', '+inf')) do
      redis.call('ZADD', due, 0, key)
    end
    hold(id, digits(redis.call('HINCRBY', hook_key(id), 'fence', 1)), redis.call('HGET', hook_key(id), 'revision'))
  end
end
answer[1] = math.max(count - share, 0)
return answer
