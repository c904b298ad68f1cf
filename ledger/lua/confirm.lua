-- Make prepared outcomes visible that the disk or replicas have, and list those that are to be confirmed next.
--
-- The caller lists, waits on the same connection for what `durability` says, and gives the ids that were listed to the
-- next call. A listing writes, because WAITAOF and WAIT cover what came before the connection's own last write. What was
-- confirmed to another server, or to this one before it was restarted or promoted, has to be confirmed again, so each
-- listing has the name of the server's run. A place in the stream is never before a listing that was confirmed: a server
-- that is promoted knows of it, and adds its outcomes after the places that readers of the last primary have seen,
-- whatever its clock says.
--
-- Keys: job (hash), prepared (zset), counts (hash), dead (zset), and those of an outcome: see the prelude.
-- arg(1)   maximum of ids to list, 0 to list none and write nothing for it
-- arg(2)   run of the listing that was confirmed, '' for none
-- arg(3)   time of that listing
-- arg(4..) for each outcome of it: id, when it was prepared (us)
-- Reply:   {outcomes made visible, durability, run, time of this listing, id, prepared, ...}

allow_writes_when_full()
local function info_text(section, name)
  local info = redis.call('INFO', section)
  local _, stop = string.find(info, '\n' .. name .. ':', 1, true)
  return stop and string.match(info, '^%w+', stop + 1) or ''
end
local run = info_text('server', 'run_id') .. info_text('replication', 'master_replid')
read_counts()

local first_ms, sequence = tonumber(arg(3) or 0), -1
local function next_place()
  if sequence < 0 then
    local newest = redis.call('XREVRANGE', ns .. 'outcomes', '+', '-', 'COUNT', 1)[1]
    local ms, last = string.match(newest and newest[1] or '0-0', '^(%d+)-(%d+)$')
    first_ms = math.max(first_ms, tonumber(ms))
    sequence = first_ms == tonumber(ms) and tonumber(last) or sequence
  end
  sequence = sequence + 1
  return digits(first_ms) .. '-' .. digits(sequence)
end

local shown = 0
local function show(id)
  local job = redis.call('HMGET', record_key(id), 'prepared', 'digest', 'kind', 'submitted', 'followed', 'settled',
    'letter', 'origin')
  redis.call('ZREM', ns .. 'prepared', id)
  local state, settled, field = string.match(job[1] or '', '^(%w+) (%d+) (%w+)$')
  if not state then
    return
  end
  redis.call('HDEL', record_key(id), 'prepared', 'letter')
  if job[6] then -- a version without prepared outcomes has ended it
    return
  end
  redis.call('HSET', record_key(id), 'state', state, 'settled', settled)
  show_outcome(id, job[2], job[3], job[4], job[5], state, settled, field, nil, job[8], next_place())
  if job[7] then
    redis.call('ZADD', ns .. 'dead', settled, id)
  end
  shown = shown + 1
end

run_collecting(function()
  for index = 4, arg(2) == run and #ARGV - HEADER or 0, 2 do
    if redis.call('ZSCORE', ns .. 'prepared', arg(index)) == arg(index + 1) then
      show(arg(index))
    end
  end
  settle_successors()
end)

local answer = { shown, durability, run, now_text }
local limit = tonumber(arg(1))
local listed = limit > 0 and redis.call('ZRANGEBYSCORE', ns .. 'prepared', '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
if listed and #listed > 0 then
  local marked = math.max(now, tonumber(redis.call('HGET', ns .. 'counts', 'marked') or 0) + 1)
  answer[4] = digits(marked)
  redis.call('HSET', ns .. 'counts', 'marked', answer[4])
  for _, value in ipairs(listed) do
    answer[#answer + 1] = value
  end
end
return answer
