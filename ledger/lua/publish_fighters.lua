-- Store the fighters that a model knows; those of the models published longest ago are dropped beyond the limit.
--
-- <ns>:fighters            hash  digest of a model -> its fighters (compressed JSON)
-- <ns>:fighters:published  zset  digests by when they were published (ms)
-- arg(1) digest   arg(2) fighters   arg(3) how many models to keep
-- Reply: 1

local fighters, published = ns .. 'fighters', ns .. 'fighters:published'
redis.call('HSET', fighters, arg(1), arg(2))
redis.call('ZADD', published, now_text, arg(1))
local excess = redis.call('ZCARD', published) - tonumber(arg(3))
if excess > 0 then
  for _, digest in ipairs(redis.call('ZRANGEBYSCORE', published, '-inf', '+inf', 'LIMIT', 0, excess)) do
    redis.call('ZREM', published, digest)
    redis.call('HDEL', fighters, digest)
  end
end
return 1
