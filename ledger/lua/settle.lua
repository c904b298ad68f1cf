-- Store the outcome of a running job: the first one wins. A report after the deadline is worth nothing: `expired`.
-- What the journal is to keep of an accepted report is noted in the same step.
--
-- Keys: job (hash), forgotten (string), leases, held (zset), outcomes (stream), news (channel): see the prelude.
-- <ns>:journal           zset    days that the journal has, by their number
-- <ns>:journal:<day>     hash    fight|model|role -> time of the answer (ms), ' ', entry (JSON)
-- arg(1)   most entries of a day
-- arg(2..) for each job: id, fence, state, field (report or failure), body (JSON), page ('' or JSON: `Page` with the
--          number of the day and how long to keep it after the start), origin ('' or JSON)
-- Answer   for each job, also on being told again: 1 if this is its outcome now, 2 if it is a report that came after the
--          deadline, so that the outcome is `expired`, 0 if it is refused

even_if_full()
local FIELDS = 7

local function note(text)
  if text == '' then
    return
  end
  local page = cjson.decode(text)
  if now >= page.start_ms then
    return
  end
  local day = ns .. 'journal:' .. page.day
  local room = tonumber(arg(1)) - redis.call('HLEN', day)
  for index, name in ipairs(page.names) do
    local new = not redis.call('HGET', day, name)
    if not new or room > 0 then
      redis.call('HSET', day, name, now_text .. ' ' .. page.entries[index])
      room = new and room - 1 or room
    end
  end
  redis.call('PEXPIRE', day, digits(page.start_ms - now + page.keep_ms))
  redis.call('ZADD', ns .. 'journal', page.ordinal, page.day)
  local kept_days = math.floor(page.keep_ms / 86400000) + 2
  redis.call('ZREMRANGEBYSCORE', ns .. 'journal', '-inf', math.floor(now / 86400000) + 719163 - kept_days)
end

local answer = {}
for index = 0, (#ARGV - HEADER - 1) / FIELDS - 1 do
  local first = 1 + index * FIELDS
  local id, fence, field, body = arg(first + 1), arg(first + 2), arg(first + 4), arg(first + 5)
  local accepted = 1
  local job = redis.call('HMGET', record(id), 'state', 'fence', 'deadline', 'owner', 'company', 'digest', 'kind')
  if job[1] == 'running' and job[2] == fence then
    if field == 'report' and job[3] ~= '' and tonumber(job[3]) <= now then
      expire(id)
      accepted = leave(id, fence, 'settle', 2)
    else
      let_go(id, job[4], job[5])
      finish(id, job[6], job[7], arg(first + 3), field, body, arg(first + 7))
      note(arg(first + 6))
    end
  elseif job[2] ~= fence or get(id, field) ~= body then
    accepted = tonumber(left(id, fence, 'settle') or 0)
  end
  answer[index + 1] = accepted
end
return answer
