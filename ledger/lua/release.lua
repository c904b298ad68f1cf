-- Give a running job back untried: no attempt is used up. No bell rings, or a worker without room would spin on it.
--
-- Keys: job (hash), queue (zset), leases (zset), held (zset): see the prelude.
-- arg(1) id   arg(2) fence
-- Answer 1, or 0 if it was no longer held

even_if_full()
if not holds(arg(1), arg(2)) then
  return 0
end
requeue(arg(1), true)
return 1
