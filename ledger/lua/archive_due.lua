-- List jobs that may move to the archive. Writes nothing.
--
-- A job stays while something may still change its outcome or is about to read it: as a dead letter, while jobs wait for
-- it, and a card until its event has begun as long ago. But one whose retention ends soon moves in any case.
--
-- Keys: job (hash), forgotten (string), index:kind, index:cards, dead (zset): see the prelude.
-- arg(1) 'ids': arg(2..) ids, whatever their age
--        'scan': arg(2) kind   arg(3) state   arg(4) settled before (ms)   arg(5) those whose retention ends within (ms)
--        go in any case   arg(6), arg(7) where to continue: '' or the last reply's   arg(8) maximum of entries to read
--        arg(9) maximum of bytes
-- Reply: {where to continue: submitted (ms) and id, both '' at the end,
--         id, fingerprint, ...}

-- What may change once there is an outcome: fields are added, or one of these has another value.
local function fingerprint(id)
  local names = redis.call('HLEN', record_key(id))
  local values = redis.call('HMGET', record_key(id), 'superseded_by', 'requeued_as', 'log')
  return names .. ' ' .. (values[1] or '') .. ' ' .. (values[2] or '') .. ' ' .. (values[3] and redis.sha1hex(values[3]) or '')
end

local answer = { '', '' }
if arg(1) == 'ids' then
  for index = 2, #ARGV - HEADER do
    if redis.call('EXISTS', record_key(arg(index))) == 1 then
      answer[#answer + 1], answer[#answer + 2] = arg(index), fingerprint(arg(index))
    end
  end
  return answer
end

local before, soon = tonumber(arg(4)), tonumber(arg(5))

local function is_held(id, card, followed)
  if followed and redis.call('EXISTS', ns .. 'after:' .. id) == 1 or redis.call('ZSCORE', ns .. 'dead', id) then
    return true
  end
  local start = card and redis.call('ZSCORE', ns .. 'index:cards', card)
  return start and tonumber(start) >= before
end

local function is_due(id, submitted)
  local job = redis.call('HMGET', record_key(id), 'state', 'settled', 'submitted', 'card', 'followed')
  local settled = tonumber(job[2] or '')
  if not settled or job[1] ~= arg(3) or tonumber(job[3]) ~= tonumber(submitted) then
    return false
  end
  local left = redis.call('PTTL', record_key(id))
  return left >= 0 and left <= soon or settled < before and not is_held(id, job[4], job[5])
end

local key, from, last_id = ns .. 'index:kind:' .. arg(2) .. ':' .. arg(3), arg(6), arg(7)
local budget, bytes_left = tonumber(arg(8)), tonumber(arg(9))
-- Those that go in any case are the oldest: they too were submitted before `before`, unless it is beyond all retention.
local newest = digits(math.max(before, now - retention + soon))
local entries = redis.call('ZRANGEBYSCORE', key, from == '' and '-inf' or from, newest, 'WITHSCORES', 'LIMIT', 0, budget)
-- Entries of one moment may be more than one call reads: those up to `last_id` were read before.
local skip = 1
if from ~= '' then
  local rank = redis.call('ZRANK', key, last_id)
  if rank and redis.call('ZSCORE', key, last_id) == from then
    entries = redis.call('ZRANGE', key, rank + 1, rank + budget, 'WITHSCORES')
  else
    while skip < #entries and entries[skip + 1] == from and entries[skip] <= last_id do
      skip = skip + 2
    end
  end
end
if skip > #entries and #entries == 2 * budget then
  answer[1], answer[2] = entries[#entries], entries[#entries - 1]
end
for index = skip, #entries, 2 do
  local id, submitted = entries[index], entries[index + 1]
  if tonumber(submitted) > tonumber(newest) then
    return answer
  end
  if is_due(id, submitted) then
    answer[#answer + 1], answer[#answer + 2] = id, fingerprint(id)
    bytes_left = bytes_left - redis.call('HSTRLEN', record_key(id), 'payload') - redis.call('HSTRLEN', record_key(id), 'report')
  end
  if bytes_left <= 0 or index >= 2 * budget - 1 then
    answer[1], answer[2] = submitted, id
    return answer
  end
end
return answer
