-- Keep results of fights, all of them or none; one that differs from what is there replaces it and leaves a trace. How a
-- result was first known stays, because tests that run over time have been settled by it.
--
-- <ns>:results          hash    day|name|name -> batch (us), ' ', result (JSON)
-- <ns>:results:first    hash    day|name|name -> the first result (JSON) of each that was replaced
-- <ns>:results:changes  stream  who, from ('' for a new one), to
-- arg(1) who   arg(2) about how many traces to keep
-- arg(3..) for each: name, result (JSON)
-- Answer {new, there already, replaced}

local told = answered()
if told then
  return told
end
local kept = ns .. 'results'
local added, unchanged, corrected = 0, 0, 0
for first = 3, #ARGV - HEADER, 2 do
  local name, after = arg(first), arg(first + 1)
  local before = redis.call('HGET', kept, name)
  local batch, said = digits(now_us), ''
  if before then
    batch, said = string.match(before, '^(%d+) (.*)$')
  end
  if said == after then
    unchanged = unchanged + 1
  else
    if said ~= '' and not redis.call('HGET', kept .. ':first', name) then
      redis.call('HSET', kept .. ':first', name, said)
    end
    redis.call('HSET', kept, name, batch .. ' ' .. after)
    redis.call('XADD', kept .. ':changes', 'MAXLEN', '~', arg(2), '*', 'who', arg(1), 'from', said, 'to', after)
    if said == '' then
      added = added + 1
    else
      corrected = corrected + 1
    end
  end
end
return keep({ added, unchanged, corrected })
