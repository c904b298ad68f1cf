-- Prepended to every script, without the functions that it does not reach (ledger/server/lua_scripts.py): the common
-- arguments, the keys, and the transitions that more than one script makes.
--
-- Key names are built here from <ns>: the namespace, in a cluster as a hash tag ({namespace}), so that a ledger lives on
-- one node. KEYS are for the server only, which refuses a script while some of the keys that it finds may be on another
-- node: see ledger/server/script_keys.py. KEYS[1] is <ns>:guard, which never exists.
--
-- <ns>:job:<id>          hash    the record of a job
--     kind, queue, payload, digest, correlation, submitted (ms), deadline (ms or ''), limit (s)   set by submit; payload
--                        and report are JSON or compressed: see ledger/compression/stored_values.py
--     caller             who submitted it first; absent if not stated
--     place              its member in the queue: 16 digits of arrival, ':', id; until there is an outcome
--     first              '1' if it goes before all others
--     state              waiting | queued | running | succeeded | failed | expired | cancelled
--     not_before (ms), after (id)   what it waits or waited for, if it had to wait: see settle_successors
--     pending            '1' while the job `after` has not succeeded
--     queued (ms)        when it was queued, if it had to wait
--     followed           '1' if jobs wait or waited for it
--     chain              '<number>/<jobs> <name>' if it was submitted as a part of a chain
--     attempt            number of the current or last attempt; 0 before the first claim
--     fence              grows with every claim; only its current value is accepted from a worker
--     owner, claimed (ms), company (jobs in the same claim), progress (JSON)                      while running
--     solo               '1' after its worker went down with several jobs: it is claimed alone from then on
--     unheard            consecutive claims whose reply was probably lost
--     left               the last fence that its owner gave up, by which call, and the reply
--     note               note of the worker that snoozed the job, for the next
--     woken              '1' if it was resumed while it still ran
--     settled (ms), and report or failure (JSON)                                                  once final
--     prepared           '<final state> <settled (ms)> <report or failure>' while the outcome is not visible: the body is
--                        in its field, `state` is still that of before, `settled` is absent, and no script changes it
--     letter             '1' if it becomes a dead letter with its prepared outcome
--     origin             provenance (JSON), if a worker produced the outcome
--     card               card_id, if it is a card
--     reading            of a card, by what it replaces others: when its prices were read (ms; '' if not stated), ' ',
--                        and a digest of its model and options ('-' for the defaults)
--     superseded_by      id of the newer job of the same card that replaced it
--     history            its claims and how each ended, one a line: see add_event; absent before the first
--     requeued_as, requeued_from   id of the job that repeats this dead letter, and of the dead letter it repeats
--     trace              trace context of its submission: traceparent, and after a space tracestate if there is one;
--                        absent if there is none
--     log                log lines about it (JSON, one a line), if there are any: see log_lines.lua
-- <ns>:forgotten:<id>    string  digest of a settled job; outlives its record. Of an archived one followed by ' ', its
--                                state, ' ' and the file of the archive: see archive_drop.lua
-- <ns>:queue:<queue>     zset    places of queued jobs by deadline (ms; +inf: none; 0: before all others): of those that
--                                name no caller, and of those that go before all others
-- <ns>:named:<queue>     zset    places of the other queued jobs, of all callers, by deadline (ms; +inf: none)
-- <ns>:queue:<queue>:<caller>  zset  the same places, of one caller
-- <ns>:callers:<queue>   zset    callers whose jobs wait, by their next turn; '': jobs without a caller. It may have some
--                                whose jobs have gone; claim removes them
-- <ns>:turns             hash    '<queue>#': the last number in that order, '<queue>@': the number of who had the last
--                                turn; and see claim.lua
-- <ns>:parked            zset    ids of snoozed jobs by when they are due (ms)
-- <ns>:waiting           zset    ids of waiting jobs by when to look at them next (ms): see
--                                settle_successors
-- <ns>:after:<id>        zset    ids of the jobs that wait for this one to succeed, by when they were submitted (ms)
-- <ns>:leases            zset    ids of running jobs by the end of their lease (ms)
-- <ns>:looked            string  when a pool last checked the leases (ms): see shift_leases
-- <ns>:held              zset    '<owner> <id>' of running jobs, all with score 0, read by prefix
-- <ns>:doorbell:<queue>  list    opaque items that wake a worker; their number has no meaning
-- <ns>:rung              hash    queue -> when its doorbell was last rung by reap (ms)
-- <ns>:outcomes          stream  `job`: id of each settled job, in the order of settling; `number`: consecutive, so
--                                that a reader sees if some are missing
-- <ns>:counts            hash    `outcomes`: the number of the last entry of that stream; `durability`: what an outcome
--                                waits for before it is visible, 'disk' | 'replica <number> <disk or memory>', absent for
--                                nothing; `marked` (ms): when prepared outcomes were last listed: see confirm.lua
-- <ns>:prepared          zset    ids of jobs with a prepared outcome, by when it was prepared (us)
-- <ns>:doorbell:prepared list    an item that wakes a pool to confirm them
-- <ns>:dead              zset    ids of jobs that ended as worker_lost, by time (ms)
-- <ns>:index:kind:<kind>:<phase>  zset  ids of the jobs of a kind by when they were submitted (ms). The phase of a job
--                                is `open` while it is waiting, queued or running, then its final state
-- <ns>:index:card:<card>, <ns>:index:caller:<caller>  zset  the same of one card, of one caller, in any phase
-- <ns>:index:cards       zset    card_ids by the start of the event (ms), as the newest job has it
-- <ns>:index:due         zset    'card:<card>', 'caller:<caller>' by when they may have an expired job: sweep_index.lua
-- <ns>:controls          hash    values set by operators: see control.lua
-- <ns>:pools             set     names of pools; <ns>:pool:<name>  string  what a living pool announces (JSON)
-- <ns>:format            string  in which format payloads and reports are written; absent: plain JSON, or a new ledger
-- <ns>:sequence          string  counter of arrivals
-- <ns>:reply:<token>     string  reply of a call (MessagePack), for as long as the call may be repeated
-- <ns>:news:<db>:<id>    channel the JSON of a progress; the outcome (MessagePack, see publish_outcome), or 'settled'. In
--                                a cluster it is a sharded one, of which only the nodes with the slot learn
--
-- ARGV[1] <ns>             ARGV[2] retention (ms)   ARGV[3] tombstone (ms)   ARGV[4] max outcomes
-- ARGV[5] max doorbells    ARGV[6] max attempts     ARGV[7] lease (ms)       ARGV[8] number of the database <db>
-- (channels are shared by all databases)     ARGV[9] how long a reply is kept (ms)
-- ARGV[10] token of the call, the same if it is repeated because its reply was lost
-- ARGV[11] '' or '<key> <fence>': nothing is done if the field `fence` of <ns>:<key> differs, because another process
-- has taken the caller's place
-- The script's own arguments follow: arg(1), ...

local ns = ARGV[1] .. ':'
local retention, tombstone, max_outcomes = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local max_doorbells, max_attempts, lease = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local HEADER = 11
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

local function arg(index)
  return ARGV[HEADER + index]
end

if ARGV[11] ~= '' then
  local place, fence = string.match(ARGV[11], '^(.*) (%d+)$')
  if redis.call('HGET', ns .. place, 'fence') ~= fence then
    return redis.error_reply('FENCED another process has taken the place of this one')
  end
end

-- Return the functions that most calls of a script do not need, by name. They are made when they are first asked for:
-- making all of them took longer than the commands of a script on a server that was idle before. What a script names as
-- `rare().name` is written into this function by ledger/server/lua_scripts.py, unless it is named directly, too.
local rare

-- A server at its maxmemory refuses a script whose first write could need memory, but not its later writes. So the
-- scripts that bring accepted jobs to their end begin with a write that needs none.
local function allow_writes_when_full()
  redis.call('ZREM', ns .. 'leases', '')
end

-- Lua's own conversion would round a time to 14 digits.
local function digits(number)
  return string.format('%.0f', number)
end
local now_text = digits(now)

local function record_key(id)
  return ns .. 'job:' .. id
end

-- A call that is repeated because its reply was lost changes nothing and gets the same reply: scripts whose reply
-- depends on what they change read the earlier reply first, and store theirs after a change.
local function earlier_reply()
  local kept = redis.call('GET', ns .. 'reply:' .. ARGV[10])
  return kept and cmsgpack.unpack(kept)
end

local function keep_reply(answer)
  redis.call('SET', ns .. 'reply:' .. ARGV[10], cmsgpack.pack(answer), 'PX', ARGV[9])
  return answer
end

local function news_channel(id)
  return ns .. 'news:' .. ARGV[8] .. ':' .. id
end

local IN_CLUSTER = string.byte(ns) == 123 -- {
local function publish(channel, message)
  if IN_CLUSTER then
    redis.call('SPUBLISH', channel, message)
  else
    redis.call('PUBLISH', channel, message)
  end
end

-- The format in which payloads and reports may be written: 1 is plain JSON, and see ledger/compression/stored_values.py.
local PLAIN_FORMAT, NEWEST_FORMAT = 1, 2
local function stored_format()
  return tonumber(redis.call('GET', ns .. 'format') or PLAIN_FORMAT)
end

-- List the living pools that cannot read a format: their announcements name the newest one that they can.
local function pools_before_format(format)
  local before = {}
  for _, name in ipairs(redis.call('SMEMBERS', ns .. 'pools')) do
    local about = redis.call('GET', ns .. 'pool:' .. name)
    if about and tonumber(string.match(about, '"stored_format":(%d+)') or PLAIN_FORMAT) < format then
      before[#before + 1] = name
    end
  end
  return before
end

local function get_field(id, field)
  return redis.call('HGET', record_key(id), field)
end

-- A script that changes many jobs collects the changes of their entries in sets, and makes them at its end with one
-- command a set; one that accepts many collects the queues that they go to, too. nil: each change is made at once.
local collected

local function ring_doorbell(queue)
  local rings = collected and collected.rings
  if rings then
    rings[queue] = (rings[queue] or 0) + 1
    return
  end
  local bell = ns .. 'doorbell:' .. queue
  if redis.call('LLEN', bell) < max_doorbells then
    redis.call('LPUSH', bell, '!')
    return 1
  end
  return 0
end

local function is_current_claim(id, fence)
  local held = redis.call('HMGET', record_key(id), 'state', 'fence', 'prepared')
  return held[1] == 'running' and held[2] == fence and not held[3]
end

-- A call that ends a claim is repeated if its reply was lost, perhaps as part of another batch; the fence identifies
-- the claim. `way` is the kind of call, as stored in records: 'settle', 'release', 'park', 'lose'.
local function earlier_result(id, fence, way)
  return string.match(get_field(id, 'left') or '', '^' .. fence .. ' ' .. way .. ' (.+)$')
end

local function record_result(id, fence, way, answer)
  redis.call('HSET', record_key(id), 'left', fence .. ' ' .. way .. ' ' .. answer)
  return answer
end

-- Return the digest in a tombstone, nil if there is none, and the state of an archived job whose retention is not over.
local function buried(id)
  local key = ns .. 'forgotten:' .. id
  local text = redis.call('GET', key)
  local digest, state = string.match(text or '', '^(%S+) (%l+) ')
  if not digest then
    return text or nil
  end
  return digest, redis.call('PTTL', key) > tombstone and state or nil
end

-- The queued jobs of one caller; those without a caller if it is '' or absent.
local function queue_key(queue, caller)
  return ns .. 'queue:' .. queue .. ((caller or '') == '' and '' or ':' .. caller)
end

local function named_key(queue)
  return ns .. 'named:' .. queue
end

local function queue_length(queue)
  return redis.call('ZCARD', queue_key(queue)) + redis.call('ZCARD', named_key(queue))
end

local function collect_entry(sets, key, score, member)
  local entries = sets[key] or {}
  sets[key] = entries
  entries[#entries + 1], entries[#entries + 2] = score, member
end

local function add_entry(key, score, member)
  if collected then
    rare().collect_entry(collected.added, key, score, member)
  else
    redis.call('ZADD', key, score, member)
  end
end

local function remove_entry(key, member)
  local removed = collected and collected.removed
  if not removed then
    redis.call('ZREM', key, member)
    return
  end
  local entries = removed[key] or {}
  removed[key] = entries
  entries[#entries + 1] = member
end

local function collect_entries()
  collected = { added = {}, removed = {} }
end

-- Collect also the queues that accepted jobs go to: nothing may end such a job, or claim it, before they are written.
local function collect_accepted()
  collected = { added = {}, removed = {}, places = {}, rings = {}, joined = {}, due = {} }
end

local function write_sets(command, sets)
  for key, entries in pairs(sets) do
    for first = 1, #entries, 2000 do
      redis.call(command, key, unpack(entries, first, math.min(first + 1999, #entries)))
    end
  end
end

local function write_collected_entries()
  write_sets('ZREM', collected.removed)
  write_sets('ZADD', collected.added)
  if collected.number then
    redis.call('HSET', ns .. 'counts', 'outcomes', collected.number)
  end
  collected = nil
end

-- Run what ends jobs, and collect the changes of its sets. What was changed before an error is not undone, so what
-- belongs to it is written before the error is passed on.
local function run_collecting(run)
  collect_entries()
  local complete, problem = pcall(run)
  write_collected_entries()
  if not complete then
    error(problem, 0) -- without a place before the text, which begins with the kind of error
  end
end

-- First what jobs cannot run without: an error in between is not undone.
local function write_accepted()
  write_sets('ZADD', collected.places)
  for queue, times in pairs(collected.rings) do
    local bell, items = ns .. 'doorbell:' .. queue, {}
    for index = 1, math.min(times, max_doorbells - redis.call('LLEN', bell)) do
      items[index] = '!'
    end
    if #items > 0 then
      redis.call('LPUSH', bell, unpack(items))
    end
  end
  local due = collected.due
  write_collected_entries()
  for first = 1, #due, 2000 do
    redis.call('ZADD', ns .. 'index:due', 'NX', unpack(due, first, math.min(first + 1999, #due)))
  end
end

-- Give a caller whose jobs begin to wait the next turn: those who had theirs stand behind. It keeps the turn that it has
-- until a claim finds none of its jobs there, so it gains nothing by coming and going. Jobs without a caller need a turn
-- only beside those of callers. Once for all jobs that are collected: they have one caller, or none.
local function join_turns(queue, caller)
  local joined, name = collected and collected.joined, queue .. ' ' .. caller
  if joined and joined[name] then
    return
  elseif joined then
    joined[name] = true
  end
  if caller == '' and redis.call('ZCARD', ns .. 'callers:' .. queue) == 0 then
    return
  end
  if not redis.call('ZSCORE', ns .. 'callers:' .. queue, caller) then
    redis.call('ZADD', ns .. 'callers:' .. queue, redis.call('HGET', ns .. 'turns', queue .. '@') or 0, caller)
  end
end

local function add_place(key, score, place)
  if collected and collected.places then
    rare().collect_entry(collected.places, key, score, place)
  else
    redis.call('ZADD', key, score, place)
  end
end

-- `first` is '1' for a job that goes before all others: its score is lower than any time.
local FIRST = 0
local function add_to_queue(queue, place, deadline, first, caller)
  local score = first == '1' and FIRST or deadline == '' and '+inf' or deadline
  if first == '1' or (caller or '') == '' then
    add_place(queue_key(queue), score, place)
    join_turns(queue, '')
    return
  end
  add_place(named_key(queue), score, place)
  add_place(queue_key(queue, caller), score, place)
  join_turns(queue, caller)
end

-- Remove a queued job from its queue, whichever version queued it. Return true if it was there.
local function remove_from_queue(queue, place, caller)
  local removed = redis.call('ZREM', queue_key(queue), place)
  if removed == 0 and caller then
    removed = redis.call('ZREM', named_key(queue), place) + redis.call('ZREM', queue_key(queue, caller), place)
  end
  return removed > 0
end

local function enqueue(id)
  local job = redis.call('HMGET', record_key(id), 'queue', 'place', 'deadline', 'first', 'caller')
  add_to_queue(unpack(job))
  return job[1]
end

local function is_open(state)
  return state == 'waiting' or state == 'queued' or state == 'running'
end

local function kind_index(kind, state)
  return ns .. 'index:kind:' .. kind .. ':' .. (is_open(state) and 'open' or state)
end

local swept_sets, sweep_times = {}, {} -- that this script has named to the sweep, and by when they were submitted
local function add_to_swept_set(name, id, submitted)
  add_entry(ns .. 'index:' .. name, submitted, id)
  if swept_sets[name] then
    return
  end
  swept_sets[name] = true
  local due, moment = collected and collected.due, sweep_times[submitted] or digits(tonumber(submitted) + retention)
  sweep_times[submitted] = moment
  if due then
    due[#due + 1], due[#due + 2] = moment, name
  else
    redis.call('ZADD', ns .. 'index:due', 'NX', moment, name)
  end
end

-- Index a job by card and caller, '' for none, for as long as it has a record.
local function index_by_field(id, submitted, card, caller)
  if card ~= '' then
    add_to_swept_set('card:' .. card, id, submitted)
  end
  if caller ~= '' then
    add_to_swept_set('caller:' .. caller, id, submitted)
  end
end

-- Write the record of a new job and queue it. `arrival` orders jobs of the same deadline. `card` is '' for none, else the
-- start of its event (ms), ' ', its `reading` as in the record, ' ', card_id. It waits, and is not queued yet, if there is a
-- `condition`: a time (ms or '') before which it is not queued, and a job ('' for none) that has to succeed before.
-- `trace` is its trace context, '' for none.
local function accept_job(id, arrival, digest, kind, queue, payload, deadline, limit, correlation, first, card,
  caller, condition, trace)
  local place = string.format('%016d', arrival) .. ':' .. id
  local start, reading, card_id
  if card ~= '' then
    start, reading, card_id = string.match(card, '^(%-?%d+) (%d* %S+) (.+)$')
  end
  local optional, filled = {}, 0
  if first == '1' then
    optional[1], optional[2], filled = 'first', first, 2
  end
  if card_id then
    optional[filled + 1], optional[filled + 2], optional[filled + 3], optional[filled + 4] =
      'card', card_id, 'reading', reading
    filled = filled + 4
  end
  if caller and caller ~= '' then
    optional[filled + 1], optional[filled + 2], filled = 'caller', caller, filled + 2
  end
  if trace and trace ~= '' then
    optional[filled + 1], optional[filled + 2] = 'trace', trace
  end
  -- The payload first and a report last: a server that keeps the record in one piece moves what is behind a change.
  redis.call('HSET', record_key(id), 'payload', payload, 'digest', digest, 'kind', kind, 'queue', queue,
    'deadline', deadline, 'limit', limit, 'correlation', correlation, 'submitted', now_text, 'place', place,
    'state', condition and 'waiting' or 'queued', 'attempt', '0', 'fence', '0', unpack(optional))
  if card_id then
    add_entry(ns .. 'index:cards', start, card_id)
  end
  add_entry(kind_index(kind, 'queued'), now_text, id)
  index_by_field(id, now_text, card_id or '', caller)
  if condition then
    local key, not_before, after = record_key(id), condition[1], condition[2]
    if not_before ~= '' then
      redis.call('HSET', key, 'not_before', not_before)
    end
    if after ~= '' then
      redis.call('HSET', key, 'after', after, 'pending', '1')
      redis.call('ZADD', ns .. 'after:' .. after, now_text, id)
      redis.call('HSET', record_key(after), 'followed', '1')
    end
    redis.call('ZADD', ns .. 'waiting', after ~= '' and now_text or not_before, id)
    if after == '' then
      ring_doorbell(queue) -- a child finds no job, and its pool learns when the next one is due
    end
    return
  end
  add_to_queue(queue, place, deadline, first, caller)
  ring_doorbell(queue)
end

-- Append a line to a text of lines; beyond the limits the oldest are dropped, and the first line says how many.
local function append_line(text, line, max_lines, max_bytes)
  local dropped, kept = string.match(text, '^dropped (%d+)\n(.*)$')
  dropped, kept = tonumber(dropped or 0), (kept or text) .. '\n' .. line
  local _, breaks = string.gsub(kept, '\n', '')
  while breaks >= max_lines or (#kept > max_bytes and breaks > 0) do
    kept, breaks, dropped = string.match(kept, '\n(.*)$'), breaks - 1, dropped + 1
  end
  return dropped > 0 and 'dropped ' .. dropped .. '\n' .. kept or kept
end

-- An event of a job's history is a line of its name, time (ms), attempt, fence, worker and reason, by tabs.
local MAX_EVENTS, MAX_HISTORY_BYTES = 50, 8192
local function with_event(history, event, attempt, fence, owner, reason)
  reason = reason ~= '' and string.sub(string.gsub(reason, '%c', ' '), 1, 300) or '' -- on one line
  local line = table.concat({ event, now_text, attempt, fence, owner, reason }, '\t')
  return history and rare().append_line(history, line, MAX_EVENTS, MAX_HISTORY_BYTES) or line
end

-- Add to a job's history how its current claim ends without an outcome.
local function add_event(id, event, reason)
  local job = redis.call('HMGET', record_key(id), 'history', 'attempt', 'fence', 'owner')
  redis.call('HSET', record_key(id), 'history',
    with_event(job[1], event, job[2] or '', job[3] or '', job[4] or '', reason))
end

-- Remove a job from the sets of running jobs. A job with an outcome and a lease would run again, so this comes before
-- the outcome is written, or is collected by a script that writes it even if it fails. `company` is nil if a worker of
-- this version ends its own claim.
local function release_lease(id, owner, company)
  remove_entry(ns .. 'leases', id)
  if company == '1' then
    remove_entry(ns .. 'overtime', id) -- written by earlier versions, which end jobs by it
  end
  remove_entry(ns .. 'held', (owner or '') .. ' ' .. id)
end

-- Remove a job from the queue, the snoozed or waiting jobs, or its owner. Return its digest, its kind, when it was
-- submitted, and '1' if jobs wait for it.
local function detach(id)
  local job = redis.call('HMGET', record_key(id), 'queue', 'place', 'owner', 'company', 'digest', 'kind', 'submitted',
    'caller', 'followed', 'after')
  if job[3] then
    release_lease(id, job[3], job[4])
    redis.call('HDEL', record_key(id), 'owner', 'claimed', 'company', 'progress')
  elseif not remove_from_queue(job[1], job[2], job[8]) and redis.call('ZREM', ns .. 'parked', id) == 0 then
    redis.call('ZREM', ns .. 'waiting', id)
    if job[10] then
      redis.call('ZREM', ns .. 'after:' .. job[10], id)
    end
  end
  return job[5], job[6], job[7], job[9]
end

-- Leases and snoozed jobs run on the server's clock, but a change of the clock must not change them, and a lease must
-- not expire while the server is stopped or no pool can reach it. So of the time since a pool last checked, at most a
-- fifth of a lease counts, and both are shifted by the rest, but not beyond a new lease. Called before either is
-- written or checked.
local function shift_leases()
  local passed = now - tonumber(redis.call('GET', ns .. 'looked') or now)
  local moved = passed - math.min(math.max(passed, 0), math.ceil(lease / 5))
  if moved == 0 then
    return
  end
  for _, name in ipairs({ 'leases', 'parked' }) do
    local due = redis.call('ZRANGEBYSCORE', ns .. name, '-inf', '+inf', 'WITHSCORES')
    for index = 1, #due, 2 do
      redis.call('ZADD', ns .. name, digits(math.min(tonumber(due[index + 1]) + moved, now + lease)), due[index])
    end
  end
  redis.call('SET', ns .. 'looked', now_text)
end

-- Return a snoozed job to its queue, if it is snoozed.
local function resume(id)
  if redis.call('ZREM', ns .. 'parked', id) == 1 and redis.call('EXISTS', record_key(id)) == 1 then
    ring_doorbell(enqueue(id))
  end
end

-- Return a job to its old place in the queue; `uncharged`: the attempt does not count. Its state voids its fence.
-- `event` and `reason` go into its history.
local function requeue(id, uncharged, event, reason)
  add_event(id, event, reason)
  detach(id)
  redis.call('HSET', record_key(id), 'state', 'queued')
  if uncharged then
    redis.call('HINCRBY', record_key(id), 'attempt', -1)
  end
  return enqueue(id)
end

-- Jobs that workers submit for each other, and no caller waits for, are in no stream.
local INTERNAL_KINDS = { shadow_card = true, train_part = true, backtest_part = true }

-- How many wait for the outcomes of a script's jobs, by channel, as far as they were counted.
local waiters = {}

-- Count the waiters of jobs with one command; those connected to a replica are not counted.
local function count_waiters(ids)
  local channels = {}
  for index, id in ipairs(ids) do
    channels[index] = news_channel(id)
  end
  -- pcall: a user of an older users.acl lacks this right
  local counts = IN_CLUSTER and redis.pcall('PUBSUB', 'SHARDNUMSUB', unpack(channels))
    or redis.pcall('PUBSUB', 'NUMSUB', unpack(channels))
  for index, channel in ipairs(channels) do
    waiters[channel] = counts.err and 0 or counts[2 * index]
  end
end

-- Waiters get the outcome itself, so that they need not read it. The body is passed in and not read back, because it may
-- be long; nil: it is read if there are waiters.
local function publish_outcome(id, state, settled, field, body, origin)
  local message, channel = 'settled', news_channel(id)
  if not waiters[channel] then
    count_waiters({ id })
  end
  if waiters[channel] > 0 then
    local job = redis.call('HMGET', record_key(id), 'kind', 'attempt', 'submitted', 'correlation', 'caller',
      'superseded_by')
    -- Without a caller the last field is absent: versions without callers read nine fields. None of the versions before
    -- reads eleven, so the waiters of a superseded job read its record.
    body = body or redis.call('HGET', record_key(id), field)
    message = job[6] and message or cmsgpack.pack({ state, job[1], job[2], job[3], settled,
      field == 'report' and body, field == 'failure' and body, job[4], origin, job[5] or nil })
  end
  publish(channel, message)
end

-- Jobs that this script has ended while others wait for them, nil for none: see settle_successors.
local ended

-- The number of the last outcome, and what outcomes wait for, '' for nothing; nil before the first of a script.
local last_number, durability

local function read_counts()
  local counts = redis.call('HMGET', ns .. 'counts', 'outcomes', 'durability')
  last_number, durability = tonumber(counts[1] or 0), counts[2] or ''
end

-- Make an outcome visible whose body is in the record. `place` is its place in the stream, '*' for the time.
local function show_outcome(id, digest, kind, submitted, followed, state, settled, field, body, origin, place)
  local key = record_key(id)
  if kind and submitted then -- what another program has written may lack them, and must end nevertheless
    remove_entry(kind_index(kind, 'queued'), id)
    add_entry(kind_index(kind, state), submitted, id)
  end
  redis.call('PEXPIRE', key, retention)
  redis.call('SET', ns .. 'forgotten:' .. id, digest, 'PX', retention + tombstone)
  if not INTERNAL_KINDS[kind] then
    last_number = last_number + 1
    local number = digits(last_number)
    if collected then
      collected.number = number
    else
      redis.call('HSET', ns .. 'counts', 'outcomes', number)
    end
    redis.call('XADD', ns .. 'outcomes', 'MAXLEN', '~', max_outcomes, place, 'job', id, 'number', number)
  end
  publish_outcome(id, state, settled, field, body, origin)
  if followed == '1' then
    ended = ended or {}
    ended[#ended + 1] = id
  end
end

-- Write the outcome of a detached job; no other function does. `field` is report or failure. Callers have checked that
-- there is no outcome yet, also no prepared one. `followed`: '1' if jobs wait for it; a script that may end a job calls
-- settle_successors. If outcomes wait for the disk or for replicas, it is prepared: final, and not visible yet.
local function write_outcome(id, digest, kind, submitted, followed, state, field, body, origin)
  local key = record_key(id)
  origin = origin ~= '' and origin or false
  if not durability then
    read_counts()
  end
  local fields = { 'state', state, 'settled', now_text }
  if durability ~= '' then
    fields = { 'prepared', state .. ' ' .. now_text .. ' ' .. field }
  end
  if origin then
    fields[#fields + 1], fields[#fields + 2] = 'origin', origin
  end
  fields[#fields + 1], fields[#fields + 2] = field, body
  -- Its place is an eighth of the record of a small job; the rest is of a claim.
  redis.call('HDEL', key, 'place', 'owner', 'claimed', 'company', 'progress')
  redis.call('HSET', key, unpack(fields))
  if durability == '' then
    show_outcome(id, digest, kind, submitted, followed, state, now_text, field, body, origin, '*')
    return
  end
  redis.call('ZADD', ns .. 'prepared', digits(now_us), id)
  if redis.call('LLEN', ns .. 'doorbell:prepared') == 0 then
    redis.call('LPUSH', ns .. 'doorbell:prepared', '!')
  end
end

local function fail_job(id, state, code, message, details, retryable)
  local failure = { code = code, message = message, retryable = retryable or false, details = details }
  local digest, kind, submitted, followed = detach(id)
  write_outcome(id, digest, kind, submitted, followed, state, 'failure', cjson.encode(failure))
end

local function expire_job(id)
  local late = (now - tonumber(get_field(id, 'deadline'))) / 1000
  fail_job(id, 'expired', 'expired',
    'the deadline passed before an answer: submit earlier, add workers, or set a later deadline',
    { late_seconds = late })
end

-- How soon to look again at a job that waits for another (ms). The script that ends the other one looks at it at once;
-- this finds what is left by a script that ended many, and by versions that know of no jobs that wait.
local LOOK_AGAIN = 5000
local MAX_SUCCESSORS = 100 -- that one script ends or queues besides, so that none blocks the server for long

local function fail_successor(id, after, state)
  local readable, failure = pcall(cjson.decode, get_field(after, 'failure'))
  local code = readable and type(failure) == 'table' and failure.code or nil
  state = state or redis.call('EXISTS', ns .. 'forgotten:' .. after) == 1 and 'forgotten' or 'unknown'
  fail_job(id, 'failed', 'predecessor_failed', 'the job waited for ' .. after .. ' to succeed, which is ' .. state
    .. (code and ' (' .. code .. ')' or '') .. ': see that job, and submit this one again under another key',
    { after = after, state = state, code = code })
end

-- Queue a job that no longer waits. Among the jobs of its deadline it is the last.
local function queue_waiting(id, reason)
  redis.call('ZREM', ns .. 'waiting', id)
  add_event(id, 'queued', reason)
  redis.call('HSET', record_key(id), 'state', 'queued', 'queued', now_text, 'place',
    string.format('%016d', redis.call('INCR', ns .. 'sequence')) .. ':' .. id)
  ring_doorbell(enqueue(id))
end

local function look_at_waiting(id)
  local job = redis.call('HMGET', record_key(id), 'state', 'not_before', 'after', 'pending', 'deadline', 'prepared')
  local not_before, after, deadline = tonumber(job[2] or ''), job[3], tonumber(job[5] or '')
  if job[1] ~= 'waiting' or job[6] then
    redis.call('ZREM', ns .. 'waiting', id)
    return
  elseif deadline and deadline <= now then
    expire_job(id)
    return
  end
  if job[4] then
    local state = get_field(after, 'state') or select(2, buried(after))
    if is_open(state) then
      redis.call('ZADD', ns .. 'waiting', digits(math.min(now + LOOK_AGAIN, deadline or math.huge)), id)
      return
    elseif state ~= 'succeeded' then
      fail_successor(id, after, state)
      return
    end
    redis.call('HDEL', record_key(id), 'pending')
    redis.call('ZREM', ns .. 'after:' .. after, id)
  end
  if not_before and not_before > now then
    redis.call('ZADD', ns .. 'waiting', digits(not_before), id)
  else
    queue_waiting(id, after and after .. ' succeeded' or 'its time has come')
  end
end

local function look_at_successors(waits)
  for _, id in ipairs(waits or {}) do
    look_at_waiting(id)
  end
  local looked, index = 0, 1
  while ended and ended[index] and looked < MAX_SUCCESSORS do
    local following = redis.call('ZRANGEBYSCORE', ns .. 'after:' .. ended[index], '-inf', '+inf', 'LIMIT', 0,
      MAX_SUCCESSORS - looked)
    for _, id in ipairs(following) do
      redis.call('ZREM', ns .. 'after:' .. ended[index], id)
      look_at_waiting(id)
    end
    looked, index = looked + #following, index + 1
  end
end

-- Look at the jobs that wait for those which this script has ended, at the jobs that wait for these, and before at those
-- that are to be looked at by now: at most `due`, nil for none. A waiting job ends if its deadline has passed or the job
-- before it will not succeed any more; it is queued if what it waits for has come. Times are those of the server's clock,
-- however it is set. Scripts that may end a job call it at their end.
local function settle_successors(due)
  local waits = due and redis.call('ZRANGEBYSCORE', ns .. 'waiting', '-inf', now_text, 'LIMIT', 0, due)
  if ended or (waits and #waits > 0) then
    rare().look_at_successors(waits)
  end
end

-- List the jobs of places, and the bytes of their payloads: of every `step`th of `found`, read from the set `places`. A
-- job whose record was deleted or evicted must not block those behind it; it goes from `other`, too, a second set.
local function list_existing(found, step, places, other)
  local ids, sizes = {}, {}
  for index = 1, #found, step do
    local place = found[index]
    local id = string.sub(place, 18)
    local bytes = redis.call('HSTRLEN', record_key(id), 'payload')
    if bytes > 0 or redis.call('EXISTS', record_key(id)) == 1 then
      ids[#ids + 1], sizes[#sizes + 1] = id, bytes
    else
      redis.call('ZREM', places, place)
      if other then
        redis.call('ZREM', other, place)
      end
    end
  end
  return ids, sizes
end

-- List the jobs of a set of places by urgency, as `list_existing`.
local function list_waiting(places, from, to, limit, other)
  return list_existing(redis.call('ZRANGEBYSCORE', places, from, to, 'LIMIT', 0, limit), 1, places, other)
end

-- Expire the overdue jobs of a queue; at most 1,000, so that no script blocks the server for long.
local function expire_overdue(queue)
  local overdue = list_waiting(queue_key(queue), '(' .. FIRST, now_text, 1000)
  for _, id in ipairs((list_waiting(named_key(queue), '-inf', now_text, 1000 - #overdue))) do
    local job = redis.call('HMGET', record_key(id), 'state', 'place', 'caller')
    if job[1] == 'queued' then
      overdue[#overdue + 1] = id
    else -- a version without callers has ended it
      remove_from_queue(queue, job[2], job[3])
    end
  end
  for _, id in ipairs((list_waiting(queue_key(queue), FIRST, FIRST, 1000))) do
    local deadline = tonumber(get_field(id, 'deadline') or '')
    if deadline and deadline <= now then
      overdue[#overdue + 1] = id
    end
  end
  for _, id in ipairs(overdue) do
    expire_job(id)
  end
  return #overdue
end

-- The worker of a running job is gone, and the job was or may have been at work: the attempt counts, and the last
-- allowed one ends the job. A job lost together with others is claimed alone next, so that they do not pay for it
-- again. `event` and `reason` go into its history. Return the new state; nil if the record is gone.
local function worker_lost(id, event, reason)
  local job = redis.call('HMGET', record_key(id), 'attempt', 'company')
  local attempts = tonumber(job[1])
  if not attempts then
    redis.call('ZREM', ns .. 'leases', id)
    return nil
  elseif attempts < max_attempts then
    if job[2] ~= '1' then
      redis.call('HSET', record_key(id), 'solo', '1')
    end
    ring_doorbell(requeue(id, false, event, reason))
    return 'queued'
  end
  add_event(id, event, reason)
  fail_job(id, 'failed', 'worker_lost',
    'the job took its worker down ' .. attempts .. ' times: it will not be tried again', { attempts = attempts })
  if durability == '' then
    redis.call('ZADD', ns .. 'dead', now_text, id)
  else
    redis.call('HSET', record_key(id), 'letter', '1')
  end
  return 'failed'
end

-- Add a run to the history of a schedule, or replace it; the oldest go beyond `max_runs`.
local function note_run(name, run_id, due, run, max_runs)
  local key = ns .. 'schedule:' .. name
  redis.call('HSET', key .. ':runs', run_id, run)
  redis.call('ZADD', key .. ':order', due, run_id)
  local latest = redis.call('HGET', key, 'latest_due')
  if not latest or tonumber(latest) <= tonumber(due) then
    redis.call('HSET', key, 'latest', run_id, 'latest_due', due)
  end
  local surplus = redis.call('ZCARD', key .. ':order') - tonumber(max_runs)
  if surplus > 0 then
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', key .. ':order', '-inf', '+inf', 'LIMIT', 0, surplus)) do
      redis.call('ZREM', key .. ':order', old)
      redis.call('HDEL', key .. ':runs', old)
    end
  end
end

-- Note how a run of a schedule has ended, unless a newer one has.
local function note_end(name, due, run)
  local key = ns .. 'schedule:' .. name
  local newest = redis.call('HGET', key, 'ended_due')
  if redis.call('EXISTS', key) == 1 and (not newest or tonumber(newest) <= tonumber(due)) then
    redis.call('HSET', key, 'ended', run, 'ended_due', due)
  end
end
