-- Void bets, or settle them by their results: all of them or none. A bet that has ended this way already is left as it
-- is. Keys: see place_bet.lua.
--
-- arg(1) who   arg(2) why, '' to settle   arg(3) '1' to replace an earlier settlement that says otherwise
-- arg(4..) for each: id, result (won | lost | void)
-- Reply: {'done', place, ...} ('' for a bet that is left as it is), or nothing was written:
--        {'unknown', id} | {'ended', id, state}

allow_writes_when_full()
local reply = earlier_reply()
if reply then
  return reply
end
local voids, replaces = arg(2) ~= '', arg(3) == '1'

local function state_of(id)
  return redis.call('HGET', ns .. 'bet:' .. id, 'state')
end

for first = 4, #ARGV - HEADER, 2 do
  local state = state_of(arg(first))
  if not state then
    return { 'unknown', arg(first) }
  elseif state ~= 'open' and state ~= arg(first + 1) and not replaces then
    return { 'ended', arg(first), state }
  end
end

local function release_stake(id, bet)
  local exposure = ns .. 'bets:exposure:' .. bet.mode
  for _, field in ipairs({ 'total', 'fight:' .. bet.fight, 'card:' .. bet.card, 'bookmaker:' .. bet.bookmaker,
    'week:' .. bet.week }) do
    if redis.call('HINCRBY', exposure, field, digits(-bet.stake)) <= 0 then
      redis.call('HDEL', exposure, field)
    end
  end
  redis.call('HDEL', ns .. 'bets:open', id)
end

local function count(bet, state, change)
  local account = ns .. 'bets:account:' .. bet.mode
  redis.call('HINCRBY', account, state, change)
  if state == 'won' or state == 'lost' then
    redis.call('HINCRBY', account, 'staked', digits(change * bet.stake))
  end
end

local function add_profit(bet, change)
  local account = ns .. 'bets:account:' .. bet.mode
  local profit = redis.call('HINCRBY', account, 'profit', digits(change))
  if profit > tonumber(redis.call('HGET', account, 'peak') or 0) then
    redis.call('HSET', account, 'peak', digits(profit))
  end
end

local function end_bet(id, result)
  local record = ns .. 'bet:' .. id
  local found = redis.call('HMGET', record, 'mode', 'stake', 'payout', 'fight', 'card', 'bookmaker', 'week', 'state',
    'settled', 'returned')
  local bet = { mode = found[1], stake = tonumber(found[2]), payout = tonumber(found[3]), fight = found[4],
    card = found[5], bookmaker = found[6], week = found[7] }
  local before = found[8]
  if before == result then
    return ''
  end
  local returned = result == 'won' and bet.payout or result == 'void' and bet.stake or 0
  local profit = returned - bet.stake
  local entry = { 'bet', id, 'fight', bet.fight, 'mode', bet.mode, 'who', arg(1) }
  local function add(...)
    for _, part in ipairs({ ... }) do
      entry[#entry + 1] = part
    end
  end
  local earlier = 0
  if voids then
    add('entry', 'voided', 'why', arg(2))
  else
    add('entry', 'settled', 'result', result, 'returned', digits(returned), 'profit', digits(profit))
    if before ~= 'open' then
      earlier = tonumber(found[10]) - bet.stake
      add('before', digits(earlier), 'reverses', found[9])
    end
  end
  local place = redis.call('XADD', ns .. 'bets', '*', unpack(entry))
  redis.call('HSET', record, 'state', result, 'settled', place, 'returned', digits(returned))
  if before == 'open' then
    release_stake(id, bet)
  end
  count(bet, before, -1)
  count(bet, result, 1)
  add_profit(bet, profit - earlier)
  return place
end

local answer = { 'done' }
for first = 4, #ARGV - HEADER, 2 do
  answer[#answer + 1] = end_bet(arg(first), arg(first + 1))
end
return keep_reply(answer)
