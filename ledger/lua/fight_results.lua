-- Store results of fights, all of them or none; a different result replaces the stored one and is audited. The first
-- version of a result stays, because sequential tests have used it.
--
-- <ns>:results          hash    day|name|name -> batch (us), ' ', result (JSON)
-- <ns>:results:first    hash    day|name|name -> the first result (JSON) of each that was replaced or overturned
-- <ns>:results:ids      hash    day|name|name -> ids under which sources know the fight (JSON list)
-- <ns>:results:changes  stream  who, from ('' for a new one), to
-- arg(1) who   arg(2) about how many changes to keep
-- arg(3..) for each: name, result (JSON), ids (JSON list, or ''), the result as it was announced if a new one was
--           overturned before it came here (JSON, or '')
-- Reply: {new, already known, replaced}

local reply = earlier_reply()
if reply then
  return reply
end
local function join_ids(key, name, ids)
  local known = cjson.decode(redis.call('HGET', key, name) or '[]')
  local have = {}
  for _, id in ipairs(known) do
    have[id] = true
  end
  for _, id in ipairs(ids) do
    if not have[id] then
      have[id] = true
      known[#known + 1] = id
    end
  end
  redis.call('HSET', key, name, cjson.encode(known))
end

local kept = ns .. 'results'
local added, unchanged, corrected = 0, 0, 0
for first = 3, #ARGV - HEADER, 4 do
  local name, after, ids, announced = arg(first), arg(first + 1), arg(first + 2), arg(first + 3)
  if ids ~= '' then
    join_ids(kept .. ':ids', name, cjson.decode(ids))
  end
  local before = redis.call('HGET', kept, name)
  local batch, known = digits(now_us), ''
  if before then
    batch, known = string.match(before, '^(%d+) (.*)$')
  end
  if known == after then
    unchanged = unchanged + 1
  else
    local earliest = known == '' and announced or known
    if earliest ~= '' and not redis.call('HGET', kept .. ':first', name) then
      redis.call('HSET', kept .. ':first', name, earliest)
    end
    redis.call('HSET', kept, name, batch .. ' ' .. after)
    redis.call('XADD', kept .. ':changes', 'MAXLEN', '~', arg(2), '*', 'who', arg(1), 'from', known, 'to', after)
    if known == '' then
      added = added + 1
    else
      corrected = corrected + 1
    end
  end
end
return keep_reply({ added, unchanged, corrected })
