-- Note that a poll of a feed begins, with the state that holds if it never ends.
--
-- <ns>:feed:<name>  hash  attempted (ms), attempts: polls begun since the last one that ended; state (JSON)
-- arg(1) feed   arg(2) state
-- Reply: polls begun since the last one that ended, with this one

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local key = ns .. 'feed:' .. arg(1)
redis.call('HSET', key, 'attempted', now_text, 'state', arg(2))
return keep_reply(redis.call('HINCRBY', key, 'attempts', 1))
