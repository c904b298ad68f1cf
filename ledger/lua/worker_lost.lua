-- Report that the worker of a running job is gone.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), dead (zset), and those of an outcome: see the prelude.
-- arg(1) id   arg(2) fence   arg(3) reason, for its history
-- Reply: the job's new state, queued or failed, also for a repeated call; nil if it was no longer held

allow_writes_when_full()
if not is_current_claim(arg(1), arg(2)) then
  return earlier_result(arg(1), arg(2), 'lose') or false
end
local state = record_result(arg(1), arg(2), 'lose', worker_lost(arg(1), 'worker_lost', arg(3)))
settle_successors()
return state
