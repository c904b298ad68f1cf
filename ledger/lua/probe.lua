-- Use what the other scripts rely on, for a server that is met for the first time.
--
-- <ns>:probe  a key that never exists, and that the call does not declare
-- Reply: names of the libraries of scripts that are missing, separated by a comma and a space; '' if there are all

redis.call('EXISTS', ns .. 'probe')
local missing = {}
if not pcall(function() return cjson.decode(cjson.encode({ 1 })) end) then
  missing[#missing + 1] = 'cjson'
end
if not pcall(function() return cmsgpack.unpack(cmsgpack.pack({ 1 })) end) then
  missing[#missing + 1] = 'cmsgpack'
end
return table.concat(missing, ', ')
