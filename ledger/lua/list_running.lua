-- List the running jobs of owners whose name begins with a prefix.
--
-- Keys: held (zset), leases (zset), job (hash): see the prelude.
-- arg(1) prefix; may be empty
-- Reply: {{id, fence, owner, attempt, kind, queue, claimed (ms), limit (s), correlation,
--         lease until (ms), caller, trace context}, ...}

local answer = {}
local from = arg(1) == '' and '-' or '[' .. arg(1)
local to = arg(1) == '' and '+' or '(' .. arg(1) .. '\255'
for _, entry in ipairs(redis.call('ZRANGEBYLEX', ns .. 'held', from, to)) do
  local id = string.sub(entry, string.find(entry, ' ', 1, true) + 1)
  local job = redis.call('HMGET', record_key(id), 'fence', 'owner', 'attempt', 'kind', 'queue', 'claimed', 'limit',
    'correlation', 'caller', 'trace')
  if job[1] then
    answer[#answer + 1] = { id, job[1], job[2], job[3], job[4], job[5], job[6], job[7], job[8],
      redis.call('ZSCORE', ns .. 'leases', id), job[9], job[10] }
  end
end
return answer
