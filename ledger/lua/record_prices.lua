-- Store what a reading of prices changes. A fight with a later reading is left as it is: what was known at a moment in
-- the past must not change. Repeating a reading changes nothing.
--
-- <ns>:prices:<fight>  stream  a change of a fight at one reading. The id has the moment of the reading: ms, then
--                              1000 * (us within the ms) + number. Fields, each only if it has changed:
--     names            JSON of the two fighters; all prices before it are withdrawn
--     start            start (ms)
--     =<bookmaker>     as_of (s, '' if unknown), price of the first, of the second fighter, commission if it has one;
--                      '-': withdrawn
-- <ns>:quotes:<fight>  hash    the newest state, for comparison: names, start, read (us), before (us; the last reading
--                              before the start), =<bookmaker> -> prices and commission; archived: see drop_prices.lua
-- <ns>:priced          zset    fights by their start (ms), or by their newest reading if no start is known
-- <ns>:bouts           hash    read only: the start of a fight that a feed has listed
-- arg(1) read (us)   arg(2) by how much it may be ahead of the server's clock (us)
-- arg(3) '1' if the reading has all bookmakers of each fight
-- arg(4..) for each fight: id, names (JSON, sorted), start (ms or ''), number of quotes, and for each quote:
--     bookmaker, prices and commission, as_of (s or '')
-- Reply: {number of changed prices, id of a fight with a later reading, ...}; {-1, ahead (ms)}: nothing was written

local read = tonumber(arg(1))
if read > now_us + tonumber(arg(2)) then
  return { -1, math.floor((read - now_us) / 1000) }
end
local reply = earlier_reply()
if reply then
  return reply
end
local read_text, complete = digits(read), arg(3) == '1'

local function entry_id(stream, same_moment)
  local ms = math.floor(read / 1000)
  local sequence = (read - ms * 1000) * 1000
  if same_moment then
    local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    local newest_ms, newest_sequence = string.match(newest and newest[1] or '', '^(%d+)-(%d+)$')
    if newest and tonumber(newest_ms) == ms and tonumber(newest_sequence) >= sequence then
      sequence = tonumber(newest_sequence) + 1
    end
  end
  return digits(ms) .. '-' .. digits(sequence)
end

-- The number of prices that differ; a new commission changes both.
local function differences(before, after)
  local first, second = string.match(before, '^(%S+) (%S+)')
  local new_first, new_second = string.match(after, '^(%S+) (%S+)')
  local changed = (first == new_first and 0 or 1) + (second == new_second and 0 or 1)
  return changed == 0 and 2 or changed
end

local answer, changed = { 0 }, 0
local place, last = 4, #ARGV - HEADER
while place <= last do
  local id, names, start, quotes = arg(place), arg(place + 1), arg(place + 2), tonumber(arg(place + 3))
  local first = place + 4
  place = first + 3 * quotes
  local stream, state_key = ns .. 'prices:' .. id, ns .. 'quotes:' .. id
  local state, stored = {}, redis.call('HGETALL', state_key)
  for index = 1, #stored, 2 do
    state[stored[index]] = stored[index + 1]
  end
  local newest = tonumber(state.read or '')
  if newest and read < newest then
    answer[#answer + 1] = id
  else
    if start == '' then
      start = state.start or string.match(redis.call('HGET', ns .. 'bouts', id) or '', '^%-?%d+') or ''
    end
    local entry, written, removed = {}, { 'read', read_text }, {}
    local books, listed = {}, {}
    for name, value in pairs(state) do
      if string.sub(name, 1, 1) == '=' then
        books[name] = value
      end
    end
    if state.names ~= names then
      entry[1], entry[2] = 'names', names
      written[#written + 1], written[#written + 2] = 'names', names
      for name in pairs(books) do
        changed, removed[name] = changed + 2, true
      end
      books = {}
    end
    if start ~= '' and state.start ~= start then
      entry[#entry + 1], entry[#entry + 2] = 'start', start
      written[#written + 1], written[#written + 2] = 'start', start
    end
    if start == '' or read < tonumber(start) * 1000 then
      written[#written + 1], written[#written + 2] = 'before', read_text
    end
    for index = first, place - 3, 3 do
      local name, value = '=' .. arg(index), arg(index + 1)
      listed[name], removed[name] = true, nil
      if books[name] ~= value then
        entry[#entry + 1], entry[#entry + 2] = name, arg(index + 2) .. ' ' .. value
        written[#written + 1], written[#written + 2] = name, value
        changed = changed + (books[name] and differences(books[name], value) or 2)
      end
    end
    if complete then
      local withdrawn = {}
      for name in pairs(books) do
        if not listed[name] then
          withdrawn[#withdrawn + 1] = name
        end
      end
      table.sort(withdrawn)
      for _, name in ipairs(withdrawn) do
        entry[#entry + 1], entry[#entry + 2] = name, '-'
        changed, removed[name] = changed + 2, true
      end
    end
    redis.call('HSET', state_key, unpack(written)) -- first, so that a full server refuses the script
    for name in pairs(removed) do
      redis.call('HDEL', state_key, name)
    end
    redis.call('ZADD', ns .. 'priced', start ~= '' and start or digits(math.floor(read / 1000)), id)
    if #entry > 0 then
      redis.call('XADD', stream, entry_id(stream, newest == read), unpack(entry))
    end
  end
end
answer[1] = changed
return changed > 0 and keep_reply(answer) or answer
