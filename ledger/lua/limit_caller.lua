-- Set the limits of a caller, which all its tokens and all gateways share.
--
-- Keys: see token_create.lua.
-- arg(1) caller   arg(2) limits (JSON), '' for none   arg(3) who   arg(4) why
-- arg(5) about how many changes to keep
-- Reply: 1

local reply = earlier_reply()
if reply then
  return reply
end
if arg(2) == '' then
  redis.call('HDEL', ns .. 'limits', arg(1))
else
  redis.call('HSET', ns .. 'limits', arg(1), arg(2))
end
redis.call('XADD', ARGV[1] .. '/tokens:changes', 'MAXLEN', '~', arg(5), '*', 'who', arg(3), 'what', 'limited', 'caller',
  arg(1), 'why', arg(4), 'limits', arg(2))
return keep_reply(1)
