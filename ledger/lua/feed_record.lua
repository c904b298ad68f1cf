-- Note how a poll of a feed ended.
--
-- <ns>:feed:<name>             hash    state (JSON of FeedState), attempts: see feed_attempt.lua
-- <ns>:feed:<name>:totals      hash    name -> count since the feed was registered
-- <ns>:feed:<name>:retrievals  stream  `retrieval`: JSON of RetrievalRecord, one for each payload that was read
-- <ns>:feed:<name>:marks       zset    marks of the dumps that were read, by their moment (ms)
-- arg(1) feed   arg(2) state   arg(3) retrieval, '' for none   arg(4) about how many of them to keep
-- arg(5) mark of a dump, '' for none   arg(6) its moment (ms)   arg(7) how many marks to keep
-- arg(8..) for each total that grows: name, by how much
-- Reply: 1

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local key = ns .. 'feed:' .. arg(1)
redis.call('HSET', key, 'state', arg(2), 'attempts', '0')
if arg(3) ~= '' then
  redis.call('XADD', key .. ':retrievals', 'MAXLEN', '~', arg(4), '*', 'retrieval', arg(3))
end
if arg(5) ~= '' then
  redis.call('ZADD', key .. ':marks', arg(6), arg(5))
  local surplus = redis.call('ZCARD', key .. ':marks') - tonumber(arg(7))
  if surplus > 0 then
    redis.call('ZREM', key .. ':marks',
      unpack(redis.call('ZRANGEBYSCORE', key .. ':marks', '-inf', '+inf', 'LIMIT', 0, math.min(surplus, 1000))))
  end
end
for index = 8, #ARGV - HEADER, 2 do
  redis.call('HINCRBY', key .. ':totals', arg(index), arg(index + 1))
end
return keep_reply(1)
