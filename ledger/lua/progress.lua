-- Note how far a running job is, and tell those who wait.
--
-- Keys: job (hash), news (channel): see the prelude.
-- arg(1) id   arg(2) fence   arg(3) progress (JSON)
-- Answer 1, or 0 if it is no longer held

if not holds(arg(1), arg(2)) then
  return 0
end
redis.call('HSET', record(arg(1)), 'progress', arg(3))
redis.call('HDEL', record(arg(1)), 'unheard')
redis.call('PUBLISH', news(arg(1)), arg(3))
return 1
