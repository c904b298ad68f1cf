-- Remove records that the archive has, and leave in each tombstone where it has them.
--
-- A record stays if it has changed since it was read, or is that of a later job of the same id. Entries of the index of
-- cards stay until the end of the retention, so that a card shows all its answers.
--
-- Keys: job (hash), forgotten (string), index:kind, index:caller, dead (zset): see the prelude.
-- arg(1) file of the archive   arg(2..) for each job: id, fingerprint, when it was submitted and settled (ms), its state
-- Reply: for each job 1; 0 if it has changed, so that the archive must not have it

allow_writes_when_full()
-- As in archive_due.lua.
local function fingerprint(id, superseded_by, requeued_as, log)
  local names = redis.call('HLEN', record_key(id))
  return names .. ' ' .. (superseded_by or '') .. ' ' .. (requeued_as or '') .. ' ' .. (log and redis.sha1hex(log) or '')
end

-- The state is needed by those that ask whether the job has succeeded; the tombstone lives as long as before.
local function bury(id, digest, state, settled)
  local key, text = ns .. 'forgotten:' .. id, digest .. ' ' .. state .. ' ' .. arg(1)
  if redis.call('EXISTS', key) == 1 then
    redis.call('SET', key, text, 'KEEPTTL')
  else
    redis.call('SET', key, text, 'PX', digits(math.max(1, tonumber(settled) + retention + tombstone - now)))
  end
end

local function drop(id, expected, submitted, settled, state)
  local job = redis.call('HMGET', record_key(id), 'submitted', 'settled', 'kind', 'state', 'caller', 'digest',
    'superseded_by', 'requeued_as', 'log')
  if job[1] ~= submitted or job[2] ~= settled then
    -- It has gone, by this call before its reply was lost, or by the end of its retention.
    local digest = not job[1] and redis.call('GET', ns .. 'forgotten:' .. id)
    if digest and not string.find(digest, ' ', 1, true) then
      bury(id, digest, state, settled)
    end
    return 1
  elseif fingerprint(id, job[7], job[8], job[9]) ~= expected then
    return 0
  end
  bury(id, job[6], job[4], settled)
  redis.call('UNLINK', record_key(id))
  redis.call('ZREM', kind_index(job[3], job[4]), id)
  if job[5] then
    redis.call('ZREM', ns .. 'index:caller:' .. job[5], id)
  end
  redis.call('ZREM', ns .. 'dead', id)
  return 1
end

local answer = {}
for index = 2, #ARGV - HEADER, 5 do
  answer[#answer + 1] = drop(arg(index), arg(index + 1), arg(index + 2), arg(index + 3), arg(index + 4))
end
return answer
