-- End a queued or running job at the caller's wish; its worker's settle is refused from now on.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset), and those of an outcome: see the prelude.
-- arg(1) id
-- Answer 1, or 0 if there is no such job or it has an outcome

even_if_full()
local state = get(arg(1), 'state')
if state ~= 'queued' and state ~= 'running' then
  return 0
end
fail(arg(1), 'cancelled', 'cancelled', 'the caller cancelled the job while it was ' .. state, {})
return 1
