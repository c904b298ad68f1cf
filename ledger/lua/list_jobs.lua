-- List jobs by when they were submitted, newest first, a page a call. Writes nothing.
--
-- Keys: job (hash), index:... (zset), leases, waiting (zset): see the prelude.
-- arg(1) maximum of jobs   arg(2) maximum of entries to read   arg(3) '' or submitted at or after (ms)
-- arg(4) '' or submitted before (ms)   arg(5), arg(6) where to continue: '' or the last reply's
-- arg(7) '' or card   arg(8) '' or caller   arg(9) states (JSON list)   arg(10) kinds (JSON list)
-- Reply: {where to continue: submitted (ms) and id, both '' after the oldest,
--         {id, kind, state, queue, attempt, submitted, deadline, settled, card, caller, correlation, not before, after,
--          superseded by, code of the failure}, ...}

local limit, max_read = tonumber(arg(1)), tonumber(arg(2))
local oldest = arg(3) == '' and '-inf' or arg(3)
local last_time, last_id = tonumber(arg(5)), arg(6)
local newest = last_time and digits(last_time) or arg(4) == '' and '+inf' or '(' .. arg(4)
local card, caller = arg(7), arg(8)
local states, kinds = cjson.decode(arg(9)), cjson.decode(arg(10))
local MAX_SORTED, CHUNK = 2000, 64

local function set_of(list)
  local set = {}
  for _, value in ipairs(list) do
    set[value] = true
  end
  return set
end
local wanted_state, wanted_kind = set_of(states), set_of(kinds)

-- Return true if one id is before another in the order of the index. Lua's own operator compares as the server's locale
-- does.
local function is_before(one, other)
  for index = 1, math.min(#one, #other) do
    local left, right = string.byte(one, index), string.byte(other, index)
    if left ~= right then
      return left < right
    end
  end
  return #one < #other
end

-- Return true if the first entry is listed before the second.
local function precedes(time, id, other_time, other_id)
  if time ~= other_time then
    return time > other_time
  end
  return is_before(other_id, id)
end

-- The sets that together have all jobs of the wanted kinds and states.
local function kind_sets()
  local sets, seen, total = {}, {}, 0
  for _, kind in ipairs(kinds) do
    for _, state in ipairs(states) do
      local key = kind_index(kind, state)
      local size = seen[key] and 0 or redis.call('ZCARD', key)
      seen[key] = true
      if size > 0 then
        sets[#sets + 1], total = key, total + size
      end
    end
  end
  return sets, total
end

-- A source is a list of entries, newest first, that are read in chunks: `at` is the current one.
local function read_on(source)
  source.at = source.at + 2
  if source.key and source.at > #source.entries and source.more then
    local count = #source.entries
    source.entries = redis.call('ZREVRANGEBYSCORE', source.key, newest, oldest, 'WITHSCORES', 'LIMIT', source.offset,
      CHUNK)
    source.offset, source.at = source.offset + CHUNK, 1
    source.more = #source.entries == 2 * CHUNK
  end
  source.id, source.time = source.entries[source.at], tonumber(source.entries[source.at + 1])
  return source.id
end

-- Running and waiting jobs are few, and those which are queued many.
local SMALL_SETS = { running = 'leases', waiting = 'waiting' }
local function source_of_ids(key)
  local entries = {}
  for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', key, '+inf', '-inf')) do
    local submitted = get_field(id, 'submitted')
    if submitted then
      entries[#entries + 1] = { id, tonumber(submitted) }
    end
  end
  table.sort(entries, function(one, other)
    return precedes(one[2], one[1], other[2], other[1])
  end)
  local flat = {}
  for _, entry in ipairs(entries) do
    flat[#flat + 1], flat[#flat + 2] = entry[1], entry[2]
  end
  return { entries = flat, at = -1 }
end

local function choose_sources()
  local sets, total = kind_sets()
  local one_state = #states == 1 and states[1]
  local small = one_state and SMALL_SETS[one_state] and ns .. SMALL_SETS[one_state]
  local count = small and redis.call('ZCARD', small)
  if count and count <= MAX_SORTED and count < total then
    return { source_of_ids(small) }
  end
  for _, field in ipairs({ { 'card:', card }, { 'caller:', caller } }) do
    local key = ns .. 'index:' .. field[1] .. field[2]
    local size = field[2] ~= '' and redis.call('ZCARD', key)
    if size and size <= total then
      sets, total = { key }, size
    end
  end
  local sources = {}
  for index, key in ipairs(sets) do
    sources[index] = { key = key, entries = {}, at = -1, offset = 0, more = true }
  end
  return sources
end

local sources = {}
for _, source in ipairs(choose_sources()) do
  if read_on(source) then
    sources[#sources + 1] = source
  end
end

local function pop_newest()
  local best
  for _, source in ipairs(sources) do
    if source.id and (not best or precedes(source.time, source.id, best.time, best.id)) then
      best = source
    end
  end
  if best then
    local time, id = best.time, best.id
    read_on(best)
    return time, id
  end
end

local since, before = tonumber(arg(3)) or 0, tonumber(arg(4)) or math.huge

-- Return what is listed of a job; nil if it is not of those that are asked for. An entry may have outlived its record,
-- and the id may since name another job.
local function summary_of(time, id)
  local job = redis.call('HMGET', record_key(id), 'kind', 'state', 'queue', 'attempt', 'submitted', 'deadline',
    'settled', 'card', 'caller', 'correlation', 'not_before', 'after', 'superseded_by')
  local submitted = tonumber(job[5])
  if submitted ~= time or submitted < since or submitted >= before or not wanted_kind[job[1]]
    or not wanted_state[job[2]] or (card ~= '' and job[8] ~= card) or (caller ~= '' and job[9] ~= caller) then
    return nil
  end
  local failure = job[7] and job[2] ~= 'succeeded' and get_field(id, 'failure')
  local readable, decoded = pcall(cjson.decode, failure)
  job[14] = readable and type(decoded) == 'table' and decoded.code or false
  table.insert(job, 1, id)
  return job
end

local answer, read = { '', '' }, 0
local time, id = pop_newest()
while time do
  local listed = last_time and not precedes(last_time, last_id, time, id)
  if not listed then
    if #answer == limit + 2 or read == max_read then
      answer[1], answer[2] = digits(last_time), last_id
      return answer
    end
    answer[#answer + 1] = summary_of(time, id)
    last_time, last_id, read = time, id, read + 1
  end
  time, id = pop_newest()
end
return answer
