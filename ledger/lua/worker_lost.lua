-- Tell that the worker of a running job is gone.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), dead (zset), and those of an outcome: see the prelude.
-- arg(1) id   arg(2) fence
-- Answer the job's new state, queued or failed, also on being told again; nil if it was no longer held

even_if_full()
if not holds(arg(1), arg(2)) then
  return left(arg(1), arg(2), 'lose') or false
end
return leave(arg(1), arg(2), 'lose', lose(arg(1)))
