-- Accept jobs, all of them or none.
--
-- Keys: job (hash), queue (zset), doorbell (list), sequence (string), forgotten (string): see the prelude.
-- arg(1)    '1' if the caller waits for the append-only file
-- arg(2..)  for each job: id, digest, kind, queue, payload, deadline (ms or ''), limit (s), correlation
-- Answer    {'accepted', 1 or 0 for each job: created or there already}
--        or {'conflict' | 'expired', index from 0}: nothing was written

local FIELDS = 8
local count = (#ARGV - 8) / FIELDS

local function job_arg(index, field)
  return arg(1 + index * FIELDS + field)
end

for index = 0, count - 1 do
  local id, digest, deadline = job_arg(index, 1), job_arg(index, 2), job_arg(index, 6)
  local held = get(id, 'digest')
  local bound = held or redis.call('GET', ns .. 'forgotten:' .. id)
  if bound and bound ~= digest then
    return { 'conflict', index }
  end
  if not held and deadline ~= '' and tonumber(deadline) <= now then
    return { 'expired', index }
  end
end

local answer = { 'accepted' }
for index = 0, count - 1 do
  local id = job_arg(index, 1)
  local created = redis.call('EXISTS', record(id)) == 0
  if created then
    local place = string.format('%016d', redis.call('INCR', ns .. 'sequence')) .. ':' .. id
    redis.call('HSET', record(id), 'digest', job_arg(index, 2), 'kind', job_arg(index, 3), 'queue', job_arg(index, 4),
      'payload', job_arg(index, 5), 'deadline', job_arg(index, 6), 'limit', job_arg(index, 7),
      'correlation', job_arg(index, 8), 'submitted', digits(now), 'place', place, 'state', 'queued',
      'attempt', 0, 'fence', 0)
    ring(enqueue(id))
  elseif arg(1) == '1' then
    -- WAITAOF covers only what came before the connection's own last write: so write.
    redis.call('HSET', record(id), 'digest', job_arg(index, 2))
  end
  answer[index + 2] = created and 1 or 0
end
return answer
