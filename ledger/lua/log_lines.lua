-- Add log lines to the records of their jobs; lines about jobs without a record are dropped.
--
-- Keys: job (hash): see the prelude.
-- arg(1) maximum of lines of a job   arg(2) maximum of their bytes   arg(3..) for each line: id, line
-- Reply: how many were added, also for a repeated call

local reply = earlier_reply()
if reply then
  return reply
end
local added = 0
for index = 3, #ARGV - HEADER, 2 do
  local id, line = arg(index), arg(index + 1)
  local state, log = unpack(redis.call('HMGET', record_key(id), 'state', 'log'))
  if state then
    log = log and append_line(log, line, tonumber(arg(1)), tonumber(arg(2))) or line
    redis.call('HSET', record_key(id), 'log', log)
    added = added + 1
  end
end
return added > 0 and keep_reply(added) or added
