-- After version.lua and seen.lua: registers connections again that this shard may have forgotten. It seldom has, so this
-- writes only what is missing.
-- Keys, a connection: device, presence. First arguments: the node's incarnation, the node. Then, a connection: the device,
-- its epoch, born_at, since_at.
-- Answers, a connection: whether it is the device's newest one.

local answers = {}
local incarnation, node = ARGV[1], ARGV[2]
local at = 3
for key = 1, #KEYS, 2 do
  local devices, presence = KEYS[key], KEYS[key + 1]
  local device, epoch, born_at, since_at = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  local known = call('HGET', devices, device)
  local stored = 0
  if known then
    stored, born_at = string.match(known, '^(%d+):(%d+)$')
  end
  stored = tonumber(stored)
  if stored < tonumber(epoch) then
    call('HSET', devices, device, epoch .. ':' .. born_at, '#' .. device, text(now))
  end
  local is_newest = stored <= tonumber(epoch)
  local entry = table.concat({incarnation, since_at, epoch, node}, ' ')
  if is_newest and call('HGET', presence, device) ~= entry then
    call('HSET', presence, device, entry)
    see(devices, tonumber(since_at))
  end
  answers[#answers + 1] = is_newest and 1 or 0
end
return answers
