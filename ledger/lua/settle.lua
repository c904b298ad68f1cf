-- Store the outcome of a running job, or prepare it (see the prelude): the first one wins. A report after the deadline is not stored: `expired`.
-- The prediction log of an accepted report is written in the same step, and the jobs that wait for this one are queued,
-- or end if it has no report.
--
-- Keys: job (hash), forgotten (string), leases, held (zset), outcomes (stream), news (channel): see the prelude.
-- <ns>:journal           zset    days of the prediction log, by their number
-- <ns>:journal:<day>     hash    fight|model|role -> time of the answer (ms), ' ', entry (JSON)
-- arg(1)   maximum of entries of a day
-- arg(2)   format of the bodies
-- arg(3..) for each job: id, fence, state, field (report or failure), body, page ('' or JSON: `Page` with the
--          number of the day and how long to keep it after the start), origin ('' or JSON)
-- Reply:   for each job, also for a repeated call: 1 if this is its outcome now, 2 if it is a report after the
--          deadline, so that the outcome is `expired`, 0 if it is refused, -1 if the ledger's format is an older one than
--          that of the bodies: nothing was written

-- A full server does not refuse the first write, which needs no memory.
local FIELDS = 7

local function store_predictions(text)
  local page = cjson.decode(text)
  if now >= page.start_ms then
    return
  end
  local day = ns .. 'journal:' .. page.day
  local free = tonumber(arg(1)) - redis.call('HLEN', day)
  for index, name in ipairs(page.names) do
    local new = not redis.call('HGET', day, name)
    if not new or free > 0 then
      redis.call('HSET', day, name, now_text .. ' ' .. page.entries[index])
      free = new and free - 1 or free
    end
  end
  redis.call('PEXPIRE', day, digits(page.start_ms - now + page.keep_ms))
  redis.call('ZADD', ns .. 'journal', page.ordinal, page.day)
  local kept_days = math.floor(page.keep_ms / 86400000) + 2
  redis.call('ZREMRANGEBYSCORE', ns .. 'journal', '-inf', math.floor(now / 86400000) + 719163 - kept_days)
end

local answer, readable = {}, tonumber(arg(2)) <= stored_format()
local function settle(index)
  local first = 2 + index * FIELDS
  local id, fence, field, body = arg(first + 1), arg(first + 2), arg(first + 4), arg(first + 5)
  local accepted = 1
  local job = redis.call('HMGET', record_key(id), 'state', 'fence', 'deadline', 'owner', 'digest', 'kind', 'submitted',
    'followed', 'prepared')
  if job[1] == 'running' and job[2] == fence and not job[9] then
    if field == 'report' and job[3] ~= '' and tonumber(job[3]) <= now then
      rare().expire_job(id)
      accepted = rare().record_result(id, fence, 'settle', 2)
    elseif not readable then
      accepted = -1
    else
      release_lease(id, job[4])
      write_outcome(id, job[5], job[6], job[7], job[8], arg(first + 3), field, body, arg(first + 7))
      if arg(first + 6) ~= '' then
        store_predictions(arg(first + 6))
      end
    end
  elseif job[2] ~= fence or redis.call('HGET', record_key(id), field) ~= body then
    accepted = tonumber(rare().earlier_result(id, fence, 'settle') or 0)
  end
  answer[index + 1] = accepted
end

local ids = {}
for index = 3, #ARGV - HEADER, FIELDS do
  ids[#ids + 1] = arg(index)
end
count_waiters(ids)
if #ids == 1 then
  settle(0)
else
  rare().run_collecting(function()
    for index = 0, #ids - 1 do
      settle(index)
    end
  end)
end
settle_successors()
return answer
