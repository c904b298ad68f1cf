-- Queue shadow cards of cards that were just answered. Workers call it, who lack the rights of submit: so it neither
-- uses the counter of arrivals nor reads the server's memory, and a full server refuses the first write.
--
-- Keys: job (hash), queue (zset), doorbell (list): see the prelude.
-- arg(1)   maximum of jobs in the queue; beyond it no shadow card is queued
-- arg(2)   minimum time to the deadline (ms); later ones are not queued
-- arg(3..) for each: id, digest, kind, queue, payload, deadline (ms), limit (s), caller, trace
--          context or ''
-- Reply:   how many were queued

local reply = earlier_reply()
if reply then
  return reply
end
local FIELDS = 9
local queued = 0
local from = now + tonumber(arg(2))
for first = 3, #ARGV - HEADER, FIELDS do
  local id, queue = arg(first), arg(first + 3)
  local known = redis.call('EXISTS', record_key(id), ns .. 'forgotten:' .. id) > 0
  local in_time = arg(first + 5) == '' or tonumber(arg(first + 5)) > from
  if not known and in_time and queue_length(queue) < tonumber(arg(1)) then
    accept_job(id, now_us, arg(first + 1), arg(first + 2), queue, arg(first + 4), arg(first + 5), arg(first + 6), '', '',
      '', arg(first + 7), nil, arg(first + 8))
    queued = queued + 1
  end
end
return queued > 0 and keep_reply(queued) or queued
