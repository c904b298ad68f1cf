-- Make a version of the archive's manifest the current one, unless another archiver was first.
--
-- <ns>:archive  hash  version (number), manifest (name of its file), folder (of the archive in its store), store (where
--                     that is, without user and password), outcomes, files, bytes (what it has), written (ms),
--                     caught_up (ms): when all that was due had been archived
-- arg(1) version that it follows, 0 for none   arg(2) version   arg(3) name   arg(4) folder   arg(5) store
-- arg(6) outcomes   arg(7) files   arg(8) bytes   arg(9) '1' if all that is due is archived
-- Reply: 1, also for a repeated call; 0 if the current version is another

allow_writes_when_full()
local key = ns .. 'archive'
local held = redis.call('HMGET', key, 'version', 'manifest')
if held[2] == arg(3) then
  return 1
elseif tonumber(held[1] or 0) ~= tonumber(arg(1)) then
  return 0
end
redis.call('HSET', key, 'version', arg(2), 'manifest', arg(3), 'folder', arg(4), 'store', arg(5), 'outcomes', arg(6),
  'files', arg(7), 'bytes', arg(8), 'written', now_text)
if arg(9) == '1' then
  redis.call('HSET', key, 'caught_up', now_text)
end
return 1
