-- Store and publish the progress of a running job.
--
-- Keys: job (hash), news (channel): see the prelude.
-- arg(1) id   arg(2) fence   arg(3) progress (JSON)
-- Reply: 1, or 0 if it is no longer held

if not is_current_claim(arg(1), arg(2)) then
  return 0
end
redis.call('HSET', record_key(arg(1)), 'progress', arg(3))
redis.call('HDEL', record_key(arg(1)), 'unheard')
publish(news_channel(arg(1)), arg(3))
return 1
