-- Find the token of a text, and note that it was used.
--
-- Keys: see token_create.lua.
-- arg(1) id   arg(2) SHA-256 of the text   arg(3) interval at which a use is noted (ms)
-- Reply: {token (JSON), limits (JSON) or nil, last used (ms) or nil}; nil if no token has this text, or it was revoked
--        or has expired

local tokens = ARGV[1] .. '/tokens:'
local text = redis.call('HGET', tokens .. 'records', arg(1))
if not text or redis.call('HGET', tokens .. 'revoked', arg(1)) then
  return false
end
local token = cjson.decode(text)
if token.digest ~= arg(2) or token.expires_ms and token.expires_ms <= now then
  return false
end
local used = redis.call('HGET', tokens .. 'used', arg(1))
if not used or math.abs(now - tonumber(used)) >= tonumber(arg(3)) then
  used = now_text
  redis.pcall('HSET', tokens .. 'used', arg(1), now_text) -- a full server refuses it, and the token is valid all the same
end
return { text, redis.call('HGET', ns .. 'limits', token.caller), used }
