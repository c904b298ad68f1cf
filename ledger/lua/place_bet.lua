-- Place a bet once, if the caps on open bets leave room for it.
--
-- <ns>:bets                    stream  entries, never trimmed. `entry`: placed (bet: JSON), voided (bet: id, fight, mode,
--                                      who, why) or settled (bet: id, fight, mode, result, returned, profit, who; and
--                                      if it replaces an earlier one `before`, its profit, and `reverses`, its place)
-- <ns>:bet:<id>                hash    bet (JSON), state (open | won | lost | void), mode, stake, payout, fight, card,
--                                      bookmaker, week; placed: place of its entry; settled: of the last one; returned
-- <ns>:bets:open               hash    id of each open bet -> '<mode> <fight>'
-- <ns>:bets:exposure:<mode>    hash    total, fight:<id>, card:<id>, bookmaker:<name>, week:<week> -> stakes of open bets
-- <ns>:bets:account:<mode>     hash    profit, peak (highest profit), staked (of bets that won or lost); numbers of
--                                      bets: placed, open, won, lost, void
-- <ns>:controls                hash    see control.lua
-- arg(1) id   arg(2) mode   arg(3) stake   arg(4) payout   arg(5) fight   arg(6) card   arg(7) bookmaker   arg(8) week
-- arg(9) start of the event (ms)   arg(10) bet (JSON)   arg(11) '1' to record it whatever the caps say
-- arg(12) '1' to refuse a second open bet of a fight   arg(13) bankroll if none is set   arg(14) job that was answered
-- Amounts are integers below 2^53 / 10,000, so that their products with shares are exact.
-- Reply: {'placed', place}, or nothing was written:
--        {'known', place, bet (JSON), state} | {'refused', cap, what it is about, limit, room}

local reply = earlier_reply()
if reply then
  return reply
end
local id, mode, stake, payout, fight, card, bookmaker, week =
  arg(1), arg(2), tonumber(arg(3)), arg(4), arg(5), arg(6), arg(7), arg(8)
local record = ns .. 'bet:' .. id
local known = redis.call('HMGET', record, 'placed', 'bet', 'state')
if known[1] then
  return { 'known', known[1], known[2], known[3] }
end

local exposure, account = ns .. 'bets:exposure:' .. mode, ns .. 'bets:account:' .. mode
local fields = { 'total', 'fight:' .. fight, 'card:' .. card, 'bookmaker:' .. bookmaker, 'week:' .. week }

local function whole(value)
  return tonumber(value or 0)
end

local function refused(cap, about, limit, room)
  return { 'refused', cap, about, limit and digits(limit) or '', room and digits(room) or '' }
end

local function objection()
  local set = redis.call('HMGET', ns .. 'controls', 'betting', 'bankroll', 'min_stake', 'drawdown_stop',
    'max_fight_exposure', 'max_card_exposure', 'max_bookmaker_exposure', 'max_week_exposure')
  local betting = set[1] or 'paper'
  if betting ~= mode then
    return refused('betting', betting)
  elseif mode == 'live' and not set[2] then
    return refused('bankroll', 'not set')
  elseif tonumber(arg(9)) <= now then
    return refused('started', arg(9))
  end
  local newer = get_field(arg(14), 'superseded_by')
  if newer then
    return refused('superseded', newer)
  end
  local start = whole(set[2] or arg(13))
  local past = redis.call('HMGET', account, 'profit', 'peak')
  local bankroll = math.max(start + whole(past[1]), 0)
  local fall, stop = whole(past[2]) - whole(past[1]), tonumber(set[4] or '')
  if stop and fall > 0 and fall * 10000 >= stop * (start + whole(past[2])) then
    return refused('drawdown_stop', '', stop)
  end
  local open = redis.call('HMGET', exposure, unpack(fields))
  if arg(12) == '1' and whole(open[2]) > 0 then
    return refused('once', fight)
  end
  local caps, abouts = { 'bankroll', 'fight', 'card', 'bookmaker', 'week' }, { 'all bets', fight, card, bookmaker, week }
  local tightest
  for index, cap in ipairs(caps) do
    local share = index == 1 and 10000 or tonumber(set[3 + index] or '')
    if share then
      local limit = math.floor(bankroll * share / 10000)
      local room = limit - whole(open[index])
      if stake > room and (not tightest or room < tightest.room) then
        tightest = { cap = cap, about = abouts[index], limit = limit, room = room }
      end
    end
  end
  if tightest then
    return refused(tightest.cap, tightest.about, tightest.limit, math.max(tightest.room, 0))
  elseif stake < whole(set[3] or 1) then
    return refused('min_stake', '', whole(set[3]))
  end
end

local answer = arg(11) ~= '1' and objection()
if answer then
  return answer
end
local place = redis.call('XADD', ns .. 'bets', '*', 'entry', 'placed', 'bet', arg(10))
redis.call('HSET', record, 'bet', arg(10), 'state', 'open', 'mode', mode, 'stake', digits(stake), 'payout', payout,
  'fight', fight, 'card', card, 'bookmaker', bookmaker, 'week', week, 'placed', place)
redis.call('HSET', ns .. 'bets:open', id, mode .. ' ' .. fight)
for _, field in ipairs(fields) do
  redis.call('HINCRBY', exposure, field, digits(stake))
end
redis.call('HINCRBY', account, 'placed', 1)
redis.call('HINCRBY', account, 'open', 1)
return keep_reply({ 'placed', place })
