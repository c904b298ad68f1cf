-- Store a token, and the limits of its caller. The text of the token is not stored, only its digest.
--
-- <namespace>/tokens:records  hash    id -> token (JSON), with the SHA-256 of its text
-- <namespace>/tokens:revoked  hash    id -> when it was revoked (ms)
-- <namespace>/tokens:used     hash    id -> when it was last used (ms), to the minute
-- <namespace>/tokens:changes  stream  who, what (created, revoked or limited), caller, why; id or limits (JSON); trimmed
--                                     All four are outside of the namespace's keys, which producers and workers may
--                                     write: only operators and gateways may make a token.
-- <ns>:limits                 hash    caller -> limits (JSON): see admit.lua
-- arg(1) id   arg(2) token (JSON)   arg(3) caller   arg(4) limits (JSON), '' to leave them   arg(5) who   arg(6) why
-- arg(7) about how many changes to keep
-- Reply: now (ms)

local reply = earlier_reply()
if reply then
  return reply
end
local tokens = ARGV[1] .. '/tokens:'
redis.call('HSET', tokens .. 'records', arg(1), arg(2))
redis.call('XADD', tokens .. 'changes', 'MAXLEN', '~', arg(7), '*', 'who', arg(5), 'what', 'created', 'caller', arg(3),
  'why', arg(6), 'id', arg(1))
if arg(4) ~= '' then
  redis.call('HSET', ns .. 'limits', arg(3), arg(4))
  redis.call('XADD', tokens .. 'changes', 'MAXLEN', '~', arg(7), '*', 'who', arg(5), 'what', 'limited', 'caller',
    arg(3), 'why', arg(6), 'limits', arg(4))
end
return keep_reply(now_text)
