-- Cancel waiting, queued or running jobs; the settle of a worker is refused from then on.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), waiting (zset), and those of an outcome: see the prelude.
-- arg(1..) ids; one that waits for another comes before that one
-- Reply: {how many were cancelled, what their outcomes wait for before they are visible, '' for nothing}; the others do
--        not exist, or have an outcome, or a prepared one

allow_writes_when_full()
local cancelled = 0
for index = 1, #ARGV - HEADER do
  local state, prepared = unpack(redis.call('HMGET', record_key(arg(index)), 'state', 'prepared'))
  if is_open(state) and not prepared then
    fail_job(arg(index), 'cancelled', 'cancelled', 'the caller cancelled the job while it was ' .. state, {})
    cancelled = cancelled + 1
  end
end
settle_successors()
return { cancelled, durability or '' }
