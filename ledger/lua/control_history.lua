-- List the changes of one control, newest first, however many other changes lie between them. Writes nothing.
--
-- Keys: controls:changed (hash), controls:changes (stream): see control.lua.
-- arg(1) name   arg(2) where to begin: '' its last change, or the continuation of the last reply
-- arg(3) maximum of changes
-- Reply: {where to continue, '' after the oldest, change, ...}, each as in the stream

-- Each change names the previous one. Changes of versions that did not are searched for, a part of the stream a call,
-- so that no script blocks the server for long.
local SEARCHED = 1000
local changes = ns .. 'controls:changes'

local function field_of(change, wanted)
  for index = 1, #change[2], 2 do
    if change[2][index] == wanted then
      return change[2][index + 1]
    end
  end
end

-- Return the last change before a place, or where to continue the search.
local function find_change(name, place)
  local found = redis.call('XREVRANGE', changes, place, '-', 'COUNT', SEARCHED)
  for _, change in ipairs(found) do
    if field_of(change, 'name') == name then
      return change
    end
  end
  return nil, #found == SEARCHED and '(' .. found[#found][1] or ''
end

local name, place, limit = arg(1), arg(2), tonumber(arg(3))
local answer = { '' }
if place == '' then
  place = redis.call('HGET', ns .. 'controls:changed', name) or ''
end
while place ~= '' and #answer <= limit do
  local change, onwards
  if string.sub(place, 1, 1) == '(' then
    change, onwards = find_change(name, place)
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
