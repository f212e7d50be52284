-- After version.lua, live.lua and seen.lua: connects devices of users of one shard.
-- Keys, a connection: device, presence, starts. Arguments, a connection: the device, the node's incarnation, the node.
-- Answers, a connection: its epoch, born_at, whether the device was known, the time now, the entry of whoever held it.

local answers = {}
for key = 1, #KEYS, 3 do
  local devices, presence, starts = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local device, incarnation, node = ARGV[key], ARGV[key + 1], ARGV[key + 2]
  local known = call('HGET', devices, device)
  local epoch, born_at = 0, '0'
  if known then
    epoch, born_at = string.match(known, '^(%d+):(%d+)$')
  elseif call('EXISTS', devices) == 1 then
    born_at = text(now)
  end
  epoch = text(tonumber(epoch) + 1)
  local held = call('HGET', presence, device)
  local by, holder = string.match(held or '', '^(%d+) %d+ %d+ (.+)$')
  if by and is_dead(starts, holder, tonumber(by)) then
    held = false
  end
  call('HSET', devices, device, epoch .. ':' .. born_at)
  see(devices, now)
  -- Also where the node's start is dead by now: whoever reads it passes it over.
  call('HSET', presence, device, table.concat({incarnation, text(now), epoch, node}, ' '))
  answers[#answers + 1] = {epoch, born_at, known and 1 or 0, text(now), held}
end
return answers
