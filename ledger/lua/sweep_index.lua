-- Remove index entries whose record has expired, and index the jobs of versions without an index; a part a call.
--
-- Keys: job (hash), index:... (zset): see the prelude.
-- <ns>:index:swept  string  when the last sweep ended (ms)
-- <ns>:index:at     hash    during a sweep: name of a set -> submitted (ms) of the last entry that was checked
-- <ns>:index:found  string  cursor of the search for records without entries, 'all' at its end
-- arg(1)   maximum of entries to check
-- arg(2)   how long after a sweep the next one begins (ms)
-- arg(3..) kinds
-- Reply:   {entries checked, entries removed, 1 if there is more to do}

allow_writes_when_full()
local budget, removed = tonumber(arg(1)), 0
local max_checked = budget
local swept, found = unpack(redis.call('MGET', ns .. 'index:swept', ns .. 'index:found'))

-- Jobs of versions without an index. Such a version may still run; what it submits or settles later is not found.
local function index_earlier_jobs()
  local start = #record_key('') + 1
  local cursor, keys = unpack(redis.call('SCAN', found or '0', 'MATCH', record_key('*'), 'COUNT', budget))
  for _, key in ipairs(keys) do
    local id = string.sub(key, start)
    local kind, state, submitted, card = unpack(redis.call('HMGET', key, 'kind', 'state', 'submitted', 'card'))
    if kind and state and submitted and not card then
      redis.call('ZREM', kind_index(kind, 'queued'), id)
      redis.call('ZADD', kind_index(kind, state), submitted, id)
      local payload = kind == 'predict_card' and get_field(id, 'payload') or ''
      card = string.match(payload, '^{"card_id":"([^"\\]+)"') -- the first field; others are not worth the time
      if card then
        redis.call('HSET', key, 'card', card)
        index_by_field(id, submitted, card, '')
      end
    end
  end
  found = cursor == '0' and 'all' or cursor
  redis.call('SET', ns .. 'index:found', found)
  budget = budget - #keys
end

-- An entry may have outlived its record, whose id may since name another job; one whose job a version without an index
-- has settled is moved. Return true if all entries that may be old are checked.
local function sweep(name, is_entry)
  local key, at = ns .. 'index:' .. name, redis.call('HGET', ns .. 'index:at', name)
  local entries = redis.call('ZRANGEBYSCORE', key, at and '(' .. at or '-inf', digits(now - retention), 'WITHSCORES',
    'LIMIT', 0, budget)
  local gone = {}
  for index = 1, #entries, 2 do
    local id, submitted = entries[index], entries[index + 1]
    local job = redis.call('HMGET', record_key(id), 'submitted', 'kind', 'state', 'card', 'caller')
    if tonumber(job[1]) ~= tonumber(submitted) or not is_entry(job, key) then
      gone[#gone + 1] = id
      if job[1] and job[2] and job[3] then
        redis.call('ZADD', kind_index(job[2], job[3]), job[1], id)
      end
    end
  end
  for first = 1, #gone, 1000 do
    redis.call('ZREM', key, unpack(gone, first, math.min(first + 999, #gone)))
  end
  if #entries > 0 then
    redis.call('HSET', ns .. 'index:at', name, entries[#entries])
  end
  budget, removed = budget - #entries / 2, removed + #gone
  return budget > 0
end

local function is_of_kind_set(job, key)
  return kind_index(job[2], job[3]) == key
end

local function sweep_kinds()
  for index = 3, #ARGV - HEADER do
    for _, phase in ipairs({ 'open', 'succeeded', 'failed', 'expired', 'cancelled' }) do
      if not sweep('kind:' .. arg(index) .. ':' .. phase, is_of_kind_set) then
        return false
      end
    end
  end
  return true
end

local function sweep_by_field()
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', ns .. 'index:due', '-inf', now_text, 'LIMIT', 0, budget)) do
    local field, value = string.match(name, '^(%l+):(.*)$')
    local finished = sweep(name, function(job)
      return job[field == 'card' and 4 or 5] == value
    end)
    if not finished then
      return false
    end
    local head = redis.call('ZRANGEBYSCORE', ns .. 'index:' .. name, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if #head == 0 then
      redis.call('ZREM', ns .. 'index:due', name)
      if field == 'card' then
        redis.call('ZREM', ns .. 'index:cards', value)
      end
    else
      local due = math.max(tonumber(head[2]) + retention, now + tonumber(arg(2)))
      redis.call('ZADD', ns .. 'index:due', digits(due), name)
    end
    budget = budget - 1
    if budget <= 0 then
      return false
    end
  end
  return true
end

if found ~= 'all' then
  index_earlier_jobs()
end
-- abs: the clock may have been set back
local finished = swept and math.abs(now - tonumber(swept)) < tonumber(arg(2))
if not finished and budget > 0 and sweep_kinds() and sweep_by_field() then
  redis.call('SET', ns .. 'index:swept', now_text)
  redis.call('DEL', ns .. 'index:at')
  finished = true
end
return { max_checked - budget, removed, (found ~= 'all' or not finished) and 1 or 0 }
