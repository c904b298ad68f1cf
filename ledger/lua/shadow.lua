-- Queue shadows of cards that were just answered. Workers ask for them, who may not submit: so there is neither a counter
-- of arrivals nor a look at the server's memory here, and a server that is full refuses the first write.
--
-- Keys: job (hash), queue (zset), doorbell (list): see the prelude.
-- arg(1)   most jobs that may wait in the queue; beyond it there are no shadows
-- arg(2)   least time to the deadline (ms); later ones are not queued
-- arg(3..) for each: id, digest, kind, queue, payload, deadline (ms), limit (s)
-- Answer   how many were queued

local told = answered()
if told then
  return told
end
local FIELDS = 7
local queued = 0
local from = now + tonumber(arg(2))
for first = 3, #ARGV - HEADER, FIELDS do
  local id, queue = arg(first), arg(first + 3)
  local known = redis.call('EXISTS', record(id), ns .. 'forgotten:' .. id) > 0
  local in_time = arg(first + 5) == '' or tonumber(arg(first + 5)) > from
  if not known and in_time and redis.call('ZCARD', ns .. 'queue:' .. queue) < tonumber(arg(1)) then
    accept(id, now_us, arg(first + 1), arg(first + 2), queue, arg(first + 4), arg(first + 5), arg(first + 6), '')
    queued = queued + 1
  end
end
return queued > 0 and keep(queued) or queued
