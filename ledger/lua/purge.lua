-- Delete dead letters or quarantined items.
--
-- Keys: dead (zset), quarantine (list): see the prelude and quarantine.lua.
-- arg(1) 'dead' or 'quarantine'   arg(2..) ids of dead letters, none for all; or the queue
-- Reply: how many there were

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local function purge()
  if arg(1) == 'quarantine' then
    local kept = ns .. 'quarantine:' .. arg(2)
    local count = redis.call('LLEN', kept)
    redis.call('LTRIM', kept, 1, 0)
    return count
  elseif arg(2) then
    return redis.call('ZREM', ns .. 'dead', unpack(ARGV, HEADER + 2))
  end
  return redis.call('ZREMRANGEBYRANK', ns .. 'dead', 0, -1)
end
return keep_reply(purge())
