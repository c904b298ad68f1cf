-- Store how the fights of a feed differ from those of an earlier reading, unless another process has done so.
--
-- <ns>:feed:<name>          hash  compared: the reading that was compared last (us)
-- <ns>:feed:<name>:fights   hash  fight id -> ListedState (JSON)
-- <ns>:feed:<name>:pending  hash  change id -> FightChange (JSON) that is not dealt with: see fight_change_ends.lua
-- <ns>:unlisted             hash  fight id -> the FightChange (JSON) since which it is not listed under this id;
--                                   removed some time after the start of the fight
-- arg(1) feed   arg(2) the reading that was compared last, as the caller knows it, 0 for none   arg(3) this reading (us)
-- arg(4) day (YYYY-MM-DD): withdrawn fights that began before are forgotten
-- arg(5) number of fights   arg(6..) for each: id, state ('' to forget it)
-- then for each change: id, change
-- Reply: 1; 0 if another reading has been compared meanwhile, or this one has been already

local key = ns .. 'feed:' .. arg(1)
local reply = earlier_reply()
if reply then
  return reply
end
if (redis.call('HGET', key, 'compared') or '0') ~= arg(2) or tonumber(arg(3)) <= tonumber(arg(2)) then
  return 0
end
redis.call('HSET', key, 'compared', arg(3))
local fights = 5 + 2 * tonumber(arg(5))
for index = 6, fights, 2 do
  if arg(index + 1) == '' then
    redis.call('HDEL', key .. ':fights', arg(index))
  else
    redis.call('HSET', key .. ':fights', arg(index), arg(index + 1))
  end
end
if fights < #ARGV - HEADER then
  local all = redis.call('HGETALL', ns .. 'unlisted')
  for index = 1, #all, 2 do
    if cjson.decode(all[index + 1]).start < arg(4) then
      redis.call('HDEL', ns .. 'unlisted', all[index])
    end
  end
end
for index = fights + 1, #ARGV - HEADER, 2 do
  local change = cjson.decode(arg(index + 1))
  redis.call('HSET', key .. ':pending', arg(index), arg(index + 1))
  if change.kind == 'withdrawn' then
    redis.call('HSET', ns .. 'unlisted', change.fight_id, arg(index + 1))
  elseif change.kind == 'id_changed' then
    redis.call('HSET', ns .. 'unlisted', change.id_before, arg(index + 1))
  elseif change.kind == 'returned' then
    redis.call('HDEL', ns .. 'unlisted', change.fight_id)
  end
end
return keep_reply(1)
