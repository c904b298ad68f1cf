-- List the changes of one control, newest first, however many of others lie between them. Writes nothing.
--
-- Keys: controls:changed (hash), controls:changes (stream): see control.lua.
-- arg(1) name   arg(2) where to begin: '' its last change, or what the last answer gave   arg(3) most changes
-- Answer {where to go on, '' after the oldest, change, ...}, each as the stream has it

-- Each change names the one before. One that was written before they did so has to be looked for, a part of the stream a
-- call, so that no script holds the server for long.
local LOOKS = 1000
local changes = ns .. 'controls:changes'

local function field_of(change, wanted)
  for index = 1, #change[2], 2 do
    if change[2][index] == wanted then
      return change[2][index + 1]
    end
  end
end

-- Answers the last change before a place, or where to go on looking for it.
local function look_for(name, place)
  local found = redis.call('XREVRANGE', changes, place, '-', 'COUNT', LOOKS)
  for _, change in ipairs(found) do
    if field_of(change, 'name') == name then
      return change
    end
  end
  return nil, #found == LOOKS and '(' .. found[#found][1] or ''
end

local name, place, most = arg(1), arg(2), tonumber(arg(3))
local answer = { '' }
if place == '' then
  place = redis.call('HGET', ns .. 'controls:changed', name) or ''
end
while place ~= '' and #answer <= most do
  local change, onwards
  if string.sub(place, 1, 1) == '(' then
    change, onwards = look_for(name, place)
  else
    change = redis.call('XRANGE', changes, place, place)[1]
    onwards = '(' .. place
  end
  if not change then
    place = onwards
    break
  end
  answer[#answer + 1] = change
  place = field_of(change, 'previous') or '(' .. change[1]
end
answer[1] = place
return answer
