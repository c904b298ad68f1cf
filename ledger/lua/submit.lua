-- Accept jobs, all of them or none.
--
-- Keys: job (hash), queue (zset), doorbell (list), sequence (string), forgotten (string), outcomes (stream), waiting,
-- after, index:card (zset), and those of an outcome: see the prelude; limits (hash): see admit.lua.
-- <ns>:day:<day>:<caller>  string  new jobs of a caller with a quota on a day (days since 1970, UTC)
-- arg(1)    '1' if the caller waits for the append-only file
-- arg(2)    maximum of jobs in a queue, '' for any number
-- arg(3)    maximum share of the server's maxmemory for new jobs, '' for all of it
-- arg(4)    '1' if they go before all others, and are accepted by a full server: few and small, and with a deadline
-- arg(5)    '1' to check only whether they would be accepted
-- arg(6)    new jobs that the same caller has checked before these, by queue (JSON)
-- arg(7)    caller, '' if not stated; a known job keeps its first one
-- arg(8)    '1' if new cards supersede earlier ones of the same card_id, model, options and caller, else ''
-- arg(9)    card_id, or id of a job, that they supersede, too; ''
-- arg(10)   name of the chain that the jobs are, '': if one of its jobs is known, all are
-- arg(11)   the trace context of new jobs, '' for none: see the prelude
-- arg(12)   format of the payloads
-- arg(13..) for each job, each id once: id, digest, kind, queue, payload, deadline (ms or ''), limit (s),
--           fresh until (ms or ''), card (start of its event (ms), ' ', reading, ' ', card_id; '' if it is none),
--           '' or what it waits for (not before (ms or ''), ' ', after (id or '')), correlation
-- Reply:    {'accepted', format of the ledger, 1 or 0 for each job: created or known}
--        or nothing was written:
--           {'format', format of the ledger, an older one than that of the payloads}
--           {'conflict' | 'expired' | 'stale', index from 0, now (ms)}
--           {'stale', index from 0, when it would begin (ms)}
--           {'late', index from 0, not before (ms)}: not before its deadline
--           {'predecessor', index from 0, id, its state}
--           {'superseded', index from 0, id of the job with newer prices}
--           {'long', jobs waiting, new ones, recent outcomes, in how long (ms)}
--           {'memory', used (bytes), mark (bytes)}
--           {'quota', new jobs of the caller today, new ones, limit, in how long the day ends (ms)}
--           {'evicts', maxmemory-policy}

local HEAD, FIELDS = 12, 11
local count = (#ARGV - HEADER - HEAD) / FIELDS

local function job_arg(index, field)
  return arg(HEAD + index * FIELDS + field)
end

local function passed(moment, by)
  return moment ~= '' and tonumber(moment) <= by
end

-- A plain search: a pattern, tried at every place, takes as long as the rest of the script.
local function info_number(info, name)
  local _, stop = string.find(info, '\n' .. name .. ':', 1, true)
  return stop and string.match(info, '^%d+', stop + 1)
end

if arg(4) == '1' then
  allow_writes_when_full()
end
-- What `earlier_reply` reads, the ledger's format, and the last number of arrival, by one command.
local kept, known_format, last_arrival = unpack(redis.call('MGET', ns .. 'reply:' .. ARGV[10], ns .. 'format',
  ns .. 'sequence'))
local reply = kept and cmsgpack.unpack(kept)
if reply and arg(1) == '1' then
  allow_writes_when_full()
  return keep_reply(reply) -- see below: a write
elseif reply then
  return reply
end

-- A ledger without jobs begins with the newest format, unless a pool of an earlier version waits for its first job.
local function format_of_new_ledger()
  return not last_arrival and #rare().pools_before_format(NEWEST_FORMAT) == 0 and NEWEST_FORMAT
end

local format = tonumber(known_format)
local first_format = not format and format_of_new_ledger()
format = format or first_format or PLAIN_FORMAT
if tonumber(arg(12)) > format then
  return { 'format', format }
end

local conditions, cards = {}, {}
local waiting = 0 -- jobs that wait, if some of these do

-- Return what checks and applies what a new job waits for and what it supersedes; made only for calls that need it.
local function conditional_calls()
  -- A card supersedes the jobs of the same question: of the same card, model, options and caller; and of another card, or
  -- the one job, that its caller names. One that is superseded has superseded those before it. The search goes on for
  -- some, because jobs of one millisecond, and those from before the clock was set back, are not in their order.
  local MAX_EARLIER, MAX_SUPERSEDED = 200, 50

  -- List jobs that the card of a job may supersede, newest first: {id, when the prices were read (ms or nil), state, by
  -- which job it is superseded}.
  local function earlier_answers(id, card_id, variant)
    local found, seen = {}, { [id] = true }
    local function add(other, named)
      local job = redis.call('HMGET', record_key(other), 'reading', 'caller', 'state', 'superseded_by')
      local priced, its_variant = string.match(job[1] or '', '^(%d*) (%S+)$')
      if not priced or seen[other] or not (named or (its_variant == variant and (job[2] or '') == arg(7))) then
        return false
      end
      seen[other] = true
      found[#found + 1] = { id = other, priced = tonumber(priced), state = job[3], by = job[4] }
      return job[4]
    end
    for _, card in ipairs({ card_id, arg(9) ~= card_id and arg(9) or nil }) do
      local superseded = 0
      for _, other in ipairs(redis.call('ZREVRANGE', ns .. 'index:card:' .. card, 0, MAX_EARLIER - 1)) do
        superseded = superseded + (add(other) and 1 or 0)
        if superseded == MAX_SUPERSEDED then
          break
        end
      end
    end
    if arg(9) ~= '' then
      add(arg(9), true)
    end
    return found
  end

  -- Return the id of a job whose prices were read later than those of a card: one of `earlier`, or the one that
  -- superseded it. nil if there is none, or times are not stated; then the order of arrival decides.
  local function newer_answer(card)
    for _, job in ipairs(card.priced and card.earlier or {}) do
      local by = job.by and tonumber(string.match(rare().get_field(job.by, 'reading') or '', '^%d+') or '')
      if (by or job.priced or 0) > card.priced then
        return by and job.by or job.id
      end
    end
  end

  -- Return what a new job may supersede, and when its prices were read; nil if it is no card.
  local function superseding_card(index)
    local priced, variant, card_id = string.match(job_arg(index, 9), '^%-?%d+ (%d*) (%S+) (.+)$')
    if card_id then
      return { priced = tonumber(priced), earlier = earlier_answers(job_arg(index, 1), card_id, variant) }
    end
  end

  -- Return the state of the job that another waits for: 'new' if it is of this call, false if it has succeeded.
  local function predecessor_state(index, after)
    local state = after ~= '' and rare().get_field(after, 'state')
    local digest, archived
    if after ~= '' and not state then
      digest, archived = rare().buried(after)
      state = archived
    end
    if after == '' or state == 'succeeded' then
      return false
    end
    local new = arg(10) ~= '' and index > 0 and job_arg(index - 1, 1) == after
    return state or new and 'new' or digest and 'forgotten' or 'unknown'
  end

  -- Return the reply if a new job is refused.
  local function check(index)
    local not_before, after = string.match(job_arg(index, 10), '^(%d*) (.*)$')
    local begin = math.max(now, tonumber(not_before or '') or 0)
    if passed(job_arg(index, 6), begin) then
      return { 'late', index, digits(begin) }
    elseif passed(job_arg(index, 8), begin) then
      return { 'stale', index, digits(begin) }
    end
    local state = predecessor_state(index, after or '')
    if state and state ~= 'new' and not is_open(state) then
      return { 'predecessor', index, after, state }
    end
    if begin > now or state then
      conditions[index] = { begin > now and digits(begin) or '', state and after or '' }
      waiting = redis.call('ZCARD', ns .. 'waiting')
    end
    if arg(8) == '1' then
      cards[index] = superseding_card(index)
      local newer = cards[index] and newer_answer(cards[index])
      return newer and { 'superseded', index, newer }
    end
  end

  local function replace(id, state, by)
    redis.call('HSET', record_key(id), 'superseded_by', by)
    if (state == 'waiting' or state == 'queued') and not rare().get_field(id, 'prepared') then
      rare().fail_job(id, 'cancelled', 'superseded', 'job ' .. by .. ' has newer prices of this card: read its outcome',
        { superseded_by = by })
    elseif state == 'running' then
      rare().add_event(id, 'superseded', 'by job ' .. by)
    end
  end

  -- Let a new card supersede earlier ones. Those that no worker runs end as `superseded`; others are marked. Of two cards
  -- of one call it may be the new one that has the older prices.
  local function supersede(index)
    local id, card = job_arg(index, 1), superseding_card(index)
    local newer = newer_answer(card)
    if newer then
      replace(id, rare().get_field(id, 'state'), newer)
      return
    end
    for _, job in ipairs(card.earlier) do
      if not job.by then
        replace(job.id, job.state, id)
      end
    end
  end
  return check, supersede
end

-- Return true if the ledger holds neither a record nor a tombstone of any of the jobs: mostly so, and found out by one
-- command and not by two a job.
local function are_all_new()
  local keys = {}
  for index = 0, count - 1 do
    local id = job_arg(index, 1)
    keys[2 * index + 1], keys[2 * index + 2] = record_key(id), ns .. 'forgotten:' .. id
  end
  for first = 1, #keys, 2000 do
    if redis.call('EXISTS', unpack(keys, first, math.min(first + 1999, #keys))) > 0 then
      return false
    end
  end
  return true
end
local all_new = are_all_new()

-- A chain of which some jobs are known was accepted as a whole; the records of its first ones may have expired.
local chain_known = false
for index = 0, arg(10) ~= '' and not all_new and count - 1 or -1 do
  local id = job_arg(index, 1)
  chain_known = chain_known or redis.call('EXISTS', record_key(id)) == 1 or select(2, rare().buried(id)) ~= nil
end

local created, new, others, arrivals = {}, {}, arg(6) == '{}' and {} or cjson.decode(arg(6)), 0
local check, supersede
local conditional = arg(8) == '1'
for index = 0, count - 1 do
  local id, digest, queue = job_arg(index, 1), job_arg(index, 2), job_arg(index, 4)
  local held = not all_new and rare().get_field(id, 'digest')
  local bound, archived = held, nil
  if not held and not all_new then
    bound, archived = rare().buried(id)
  end
  local mark = arg(10) ~= '' and (index + 1) .. '/' .. count .. ' ' .. arg(10)
  if (bound and bound ~= digest) or (held and mark and rare().get_field(id, 'chain') ~= mark) then
    return { 'conflict', index, now_text }
  end
  created[index] = not held and not archived and not chain_known
  if created[index] then
    if passed(job_arg(index, 6), now) then
      return { 'expired', index, now_text }
    elseif passed(job_arg(index, 8), now) then
      return { 'stale', index, now_text }
    end
    if conditional or job_arg(index, 10) ~= '' then
      if not check then
        check, supersede = conditional_calls()
      end
      local refusal = check(index)
      if refusal then
        return refusal
      end
    end
    new[queue], arrivals = (new[queue] or 0) + 1, arrivals + 1
  end
end

for queue, more in pairs(new) do
  local waits = queue_length(queue) + waiting -- which are to be queued
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
local answer, unheld = { 'accepted', format }, false
if first_format and next(new) and arg(5) ~= '1' then
  redis.call('SET', ns .. 'format', first_format)
end
local superseding = next(cards) ~= nil -- a job may be added and ended in one call
local collecting = count > 1 and not superseding
if collecting then
  rare().collect_accepted()
end
-- The last number of arrival that is given away, after those of all new jobs have been taken together.
local arrival
if arrivals > 0 and arg(5) ~= '1' then
  arrival = tonumber(last_arrival or 0)
  redis.call('SET', ns .. 'sequence', digits(arrival + arrivals))
end
local function accept(index)
  local id = job_arg(index, 1)
  if arg(5) == '1' then
    -- a check writes nothing
  elseif created[index] then
    arrival = arrival + 1
    accept_job(id, arrival, job_arg(index, 2), job_arg(index, 3), job_arg(index, 4),
      job_arg(index, 5), job_arg(index, 6), job_arg(index, 7), job_arg(index, 11), arg(4),
      job_arg(index, 9), arg(7), conditions[index], arg(11))
    if arg(10) ~= '' then
      redis.call('HSET', record_key(id), 'chain', (index + 1) .. '/' .. count .. ' ' .. arg(10))
    end
    if cards[index] then
      supersede(index)
    end
  elseif arg(1) == '1' then
    -- WAITAOF covers only what came before the connection's own last write, so there must be one.
    if redis.call('EXISTS', record_key(id)) == 1 then
      redis.call('HSET', record_key(id), 'digest', job_arg(index, 2))
    else -- it is archived: the reply is written instead
      unheld = true
    end
  end
  answer[index + 3] = created[index] and 1 or 0
end

-- An error is not undone: jobs that were accepted before it have to be queued nevertheless.
local complete, problem = pcall(function()
  for index = 0, count - 1 do
    accept(index)
  end
end)
if collecting then
  rare().write_accepted()
end
if superseding then
  rare().settle_successors()
end
if not complete then
  error(problem, 0) -- without a place before the text, which begins with the kind of error
end
if jobs_per_day and fresh > 0 and arg(5) ~= '1' then
  redis.call('SET', day_key, digits(today + fresh), 'PX', 2 * DAY)
end
return (next(new) or unheld) and arg(5) ~= '1' and keep_reply(answer) or answer
