-- After version.lua, seen.lua and tell.lua: registers connections again that this shard may have forgotten. It seldom has, so this
-- writes only what is missing.
-- Keys, a connection: device, presence, and outbox where somebody consumes. First arguments: the node's incarnation, the node, the
-- most entries of an outbox or nothing. Then, a connection: the user, the device, its epoch, born_at, since_at.
-- Answers, a connection: whether it is the device's newest one.

local answers = {}
local incarnation, node = ARGV[1], ARGV[2]
local most_waiting = ARGV[3] ~= '' and ARGV[3]
local at = 4
for key = 1, #KEYS, most_waiting and 3 or 2 do
  local devices, presence = KEYS[key], KEYS[key + 1]
  local user, device, epoch = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local born_at, since_at = ARGV[at + 3], ARGV[at + 4]
  at = at + 5
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
    if most_waiting then
      tell(KEYS[key + 2], most_waiting, user)
    end
  end
  answers[#answers + 1] = is_newest and 1 or 0
end
return answers
