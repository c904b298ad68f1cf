-- Revoke a token for ever.
--
-- Keys: see token_create.lua.
-- arg(1) id   arg(2) caller   arg(3) who   arg(4) why   arg(5) about how many changes to keep
-- Reply: 1; 0 if it was revoked before; -1 if there is none of this id

local tokens = ARGV[1] .. '/tokens:'
allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
elseif not redis.call('HGET', tokens .. 'records', arg(1)) then
  return -1
elseif redis.call('HGET', tokens .. 'revoked', arg(1)) then
  return 0
end
redis.call('HSET', tokens .. 'revoked', arg(1), now_text)
redis.call('XADD', tokens .. 'changes', 'MAXLEN', '~', arg(5), '*', 'who', arg(3), 'what', 'revoked', 'caller', arg(2),
  'why', arg(4), 'id', arg(1))
return keep_reply(1)
