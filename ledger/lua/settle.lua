-- Store the outcome of a running job: the first one wins. A report after the deadline is worth nothing: `expired`.
--
-- Keys: job (hash), forgotten (string), leases, held (zset), outcomes (stream), news (channel): see the prelude.
-- arg(1..) for each job: id, fence, state, field (report or failure), body (JSON)
-- Answer   for each job 1 if this is its outcome now (also on being told again), 0 if it is refused

even_if_full()
local FIELDS = 5
local answer = {}
for index = 0, (#ARGV - 7) / FIELDS - 1 do
  local first = index * FIELDS
  local id, fence, field, body = arg(first + 1), arg(first + 2), arg(first + 4), arg(first + 5)
  local accepted = 1
  local job = redis.call('HMGET', record(id), 'state', 'fence', 'deadline')
  if job[1] == 'running' and job[2] == fence then
    if field == 'report' and job[3] ~= '' and tonumber(job[3]) <= now then
      expire(id)
    else
      finish(id, arg(first + 3), field, body)
    end
  elseif job[2] ~= fence or get(id, field) ~= body then
    accepted = 0
  end
  answer[index + 1] = accepted
end
return answer
