-- Delete dead letters or quarantined items.
--
-- Keys: dead (zset), quarantine (list): see the prelude and quarantine.lua.
-- arg(1) 'dead' or 'quarantine'   arg(2..) ids of dead letters, none for all; or the queue
--        'listed': arg(2..) ids of dead letters
-- Reply: how many there were; of 'listed': for each id 1, or 0 if there was none

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
  elseif arg(1) == 'listed' then
    local removed = {}
    for index = 2, #ARGV - HEADER do
      removed[index - 1] = redis.call('ZREM', ns .. 'dead', arg(index))
    end
    return removed
  elseif arg(2) then
    return redis.call('ZREM', ns .. 'dead', unpack(ARGV, HEADER + 2))
  end
  return redis.call('ZREMRANGEBYRANK', ns .. 'dead', 0, -1)
end
return keep_reply(purge())
