-- Cancel a queued or running job; its worker's settle is refused from then on.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), and those of an outcome: see the prelude.
-- arg(1) id
-- Reply: 1, or 0 if there is no such job or it has an outcome

allow_writes_when_full()
local state = get_field(arg(1), 'state')
if state ~= 'queued' and state ~= 'running' then
  return 0
end
fail_job(arg(1), 'cancelled', 'cancelled', 'the caller cancelled the job while it was ' .. state, {})
return 1
