-- Take, renew or give up the lead of a feed. One feed runner leads, the others stand by. After the lease has ended, the
-- first runner that asks leads next, with a greater fence, so that the writes of the former leader are refused (see the
-- prelude).
--
-- <ns>:feeds                hash  name -> when the feed was registered (ms)
-- <ns>:feed:<name>          hash  source; leader, fence, since (ms), until (ms): '' for no leader; lease (ms);
--                                 state (JSON), attempted (ms), attempts: see feed_record.lua
-- <ns>:feed:<name>:runners  hash  feed runner -> when it last asked (ms)
-- arg(1) feed   arg(2) runner   arg(3) how long a lease holds (ms)   arg(4) source, '' to leave
-- Reply: {'1' for the leader, fence, leader, how long its lease holds (ms)}

allow_writes_when_full()
local key, runners = ns .. 'feed:' .. arg(1), ns .. 'feed:' .. arg(1) .. ':runners'
local wanted = tonumber(arg(3))
local held = redis.call('HMGET', key, 'leader', 'fence', 'until')
local leader, fence, ends = held[1] or '', tonumber(held[2] or 0), tonumber(held[3] or 0)
ends = math.min(ends, now + wanted) -- the server's clock was set back

if arg(4) == '' then
  redis.call('HDEL', runners, arg(2))
  if leader == arg(2) then
    redis.call('HSET', key, 'leader', '', 'until', now_text)
    leader, ends = '', now
  end
  return { '0', digits(fence), leader, digits(math.max(0, ends - now)) }
end

if not redis.call('HGET', ns .. 'feeds', arg(1)) then
  redis.call('HSET', ns .. 'feeds', arg(1), now_text)
end
redis.call('HSET', runners, arg(2), now_text)
local seen = redis.call('HGETALL', runners)
for place = 1, #seen, 2 do
  if tonumber(seen[place + 1]) < now - 3 * wanted then
    redis.call('HDEL', runners, seen[place])
  end
end
if leader ~= arg(2) and (leader == '' or ends <= now) then
  leader, fence = arg(2), fence + 1
  redis.call('HSET', key, 'leader', leader, 'fence', digits(fence), 'since', now_text, 'source', arg(4))
end
if leader == arg(2) then
  ends = now + wanted
  redis.call('HSET', key, 'until', digits(ends), 'lease', arg(3))
end
return { leader == arg(2) and '1' or '0', digits(fence), leader, digits(ends - now) }
