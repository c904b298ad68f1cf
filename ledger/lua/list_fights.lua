-- Store the fights that feeds have listed, and when each was first listed.
--
-- <ns>:bouts  hash  fight id -> start (ms), ' ', first listed (us), ' ', key of the bout
-- arg(1) how long after its start a fight is kept (ms)
-- arg(2..) for each fight: id, start (ms), key of the bout
-- Reply: {id, value, ...} of all stored fights

local kept = ns .. 'bouts'
for first = 2, #ARGV - HEADER, 3 do
  local id, start, bout = arg(first), arg(first + 1), arg(first + 2)
  local listed = digits(now_us)
  local before = redis.call('HGET', kept, id)
  if before then
    local _, since, same = string.match(before, '^(%-?%d+) (%d+) (.*)$')
    if same == bout then
      listed = since
    end
  end
  local value = start .. ' ' .. listed .. ' ' .. bout
  if value ~= before then -- a known fight is not written: a full server has no memory for it
    redis.call('HSET', kept, id, value)
  end
end

local answer = {}
local all = redis.call('HGETALL', kept)
for place = 1, #all, 2 do
  if tonumber(string.match(all[place + 1], '^%-?%d+')) + tonumber(arg(1)) < now then
    redis.call('HDEL', kept, all[place])
  else
    answer[#answer + 1] = all[place]
    answer[#answer + 1] = all[place + 1]
  end
end
return answer
