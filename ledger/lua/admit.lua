-- Count a request of a caller against its rate: a generic cell rate algorithm (ITU-T I.371), one number a caller.
--
-- <ns>:limits         hash    caller -> limits (JSON): requests_per_second, burst; jobs_per_day is checked by submit
-- <ns>:rate:<caller>  string  when the requests that were admitted are used up at this rate (us)
-- arg(1) caller
-- Reply: 0 if the request is admitted, or in how long one will be (us)

local limits = redis.call('HGET', ns .. 'limits', arg(1))
local rate = limits and cjson.decode(limits)
if not rate or not rate.requests_per_second then
  return 0
end
local key, interval = ns .. 'rate:' .. arg(1), 1000000 / rate.requests_per_second
local burst = interval * (rate.burst or 1)
-- A used-up time beyond what a burst can reach comes from a clock that was set back, or from a higher burst.
local used = math.min(math.max(tonumber(redis.call('GET', key) or 0), now_us), now_us + burst)
local wait = used + interval - now_us - burst
if wait > 0 then
  return math.ceil(wait)
end
redis.call('SET', key, digits(used + interval), 'PX', math.ceil((used + interval - now_us) / 1000))
return 0
