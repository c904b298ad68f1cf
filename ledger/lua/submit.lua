-- Accept jobs, all of them or none.
--
-- Keys: job (hash), queue (zset), doorbell (list), sequence (string), forgotten (string), outcomes (stream): see the
-- prelude; limits (hash): see admit.lua.
-- <ns>:day:<day>:<caller>  string  new jobs of a caller with a quota on a day (days since 1970, UTC)
-- arg(1)    '1' if the caller waits for the append-only file
-- arg(2)    maximum of jobs in a queue, '' for any number
-- arg(3)    maximum share of the server's maxmemory for new jobs, '' for all of it
-- arg(4)    '1' if they go before all others, and are accepted by a full server: few and small, and with a deadline
-- arg(5)    '1' to check only whether they would be accepted
-- arg(6)    new jobs that the same caller has checked before these, by queue (JSON)
-- arg(7)    caller, '' if not stated; a known job keeps its first one
-- arg(8..)  for each job, each id once: id, digest, kind, queue, payload, deadline (ms or ''), limit (s),
--           fresh until (ms or ''), card (start of its event (ms), ' ', card_id; '' if it is none), correlation
-- Reply:    {'accepted', 1 or 0 for each job: created or known}
--        or nothing was written:
--           {'conflict' | 'expired' | 'stale', index from 0, now (ms)}
--           {'long', jobs waiting, new ones, recent outcomes, in how long (ms)}
--           {'memory', used (bytes), mark (bytes)}
--           {'quota', new jobs of the caller today, new ones, limit, in how long the day ends (ms)}
--           {'evicts', maxmemory-policy}

local HEAD, FIELDS = 7, 10
local count = (#ARGV - HEADER - HEAD) / FIELDS

local function job_arg(index, field)
  return arg(HEAD + index * FIELDS + field)
end

local function passed(moment)
  return moment ~= '' and tonumber(moment) <= now
end

-- A plain search: a pattern, tried at every place, takes as long as the rest of the script.
local function info_number(info, name)
  local _, stop = string.find(info, '\n' .. name .. ':', 1, true)
  return stop and string.match(info, '^%d+', stop + 1)
end

if arg(4) == '1' then
  allow_writes_when_full()
end
local reply = earlier_reply()
if reply and arg(1) == '1' then
  allow_writes_when_full()
  return keep_reply(reply) -- see below: a write
elseif reply then
  return reply
end

local created, new, others = {}, {}, cjson.decode(arg(6))
for index = 0, count - 1 do
  local id, digest, queue = job_arg(index, 1), job_arg(index, 2), job_arg(index, 4)
  local held = get_field(id, 'digest')
  local bound = held or redis.call('GET', ns .. 'forgotten:' .. id)
  if bound and bound ~= digest then
    return { 'conflict', index, now_text }
  end
  if not held and passed(job_arg(index, 6)) then
    return { 'expired', index, now_text }
  end
  if not held and passed(job_arg(index, 8)) then
    return { 'stale', index, now_text }
  end
  created[index] = not held
  if created[index] then
    new[queue] = (new[queue] or 0) + 1
  end
end

for queue, more in pairs(new) do
  local waits = queue_length(queue)
  more = more + (others[queue] or 0)
  if arg(2) ~= '' and waits + more > tonumber(arg(2)) then
    local latest = redis.call('XREVRANGE', ns .. 'outcomes', '+', '-', 'COUNT', 100)
    local since = #latest > 0 and tonumber(string.match(latest[#latest][1], '^%d+')) or now
    return { 'long', waits, more, #latest, digits(now - since) }
  end
end
-- Not of what has no limit of its own: parts of an accepted job, and urgent checks.
local DAY = 86400000
local limits = arg(7) ~= '' and arg(2) ~= '' and arg(4) ~= '1' and redis.call('HGET', ns .. 'limits', arg(7))
local jobs_per_day = limits and cjson.decode(limits).jobs_per_day
local day_key, today, fresh = ns .. 'day:' .. math.floor(now / DAY) .. ':' .. arg(7), 0, 0
if jobs_per_day and next(new) then
  today = tonumber(redis.call('GET', day_key) or 0)
  for _, more in pairs(new) do
    fresh = fresh + more
  end
  for _, more in pairs(others) do
    fresh = fresh + more
  end
  if today + fresh > jobs_per_day then
    return { 'quota', today, fresh, jobs_per_day, digits(DAY - now % DAY) }
  end
end
if next(new) and arg(3) ~= '' then
  local memory = redis.call('INFO', 'memory')
  local used, most = info_number(memory, 'used_memory'), info_number(memory, 'maxmemory')
  -- Also volatile-*: outcomes and tombstones have a time to live, and must not be evicted before it.
  local policy = tonumber(most or 0) > 0 and string.match(memory, '\nmaxmemory_policy:([%w-]+)')
  if policy and policy ~= 'noeviction' then
    return { 'evicts', policy }
  end
  local mark = math.floor(tonumber(most or 0) * tonumber(arg(3)))
  if mark > 0 and tonumber(used) >= mark then
    return { 'memory', used, digits(mark) }
  end
end

if arg(1) == '1' and not next(new) then
  allow_writes_when_full() -- the writes below need no memory
end
local answer = { 'accepted' }
collect_entries()
for index = 0, count - 1 do
  local id = job_arg(index, 1)
  if arg(5) == '1' then
    -- a check writes nothing
  elseif created[index] then
    accept_job(id, redis.call('INCR', ns .. 'sequence'), job_arg(index, 2), job_arg(index, 3), job_arg(index, 4),
      job_arg(index, 5), job_arg(index, 6), job_arg(index, 7), job_arg(index, 10), arg(4),
      job_arg(index, 9), arg(7))
  elseif arg(1) == '1' then
    -- WAITAOF covers only what came before the connection's own last write, so there must be one.
    redis.call('HSET', record_key(id), 'digest', job_arg(index, 2))
  end
  answer[index + 2] = created[index] and 1 or 0
end
write_collected_entries()
if jobs_per_day and fresh > 0 and arg(5) ~= '1' then
  redis.call('SET', day_key, digits(today + fresh), 'PX', 2 * DAY)
end
return next(new) and arg(5) ~= '1' and keep_reply(answer) or answer
