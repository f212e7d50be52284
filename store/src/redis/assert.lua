-- After live.lua, held.lua and seen.lua: registers connections again that this shard may have forgotten.
-- Keys, a connection: device, presence, starts. First arguments: the node's incarnation, the node. Then, a connection: the
-- device, its epoch, born_at, since_at.
-- Answers, a connection: whether it is the device's newest one.

local answers = {}
local incarnation, node = ARGV[1], ARGV[2]
for key = 1, #KEYS, 3 do
  local devices, presence, starts = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local at = 3 + (key - 1) / 3 * 4
  local device, epoch, born_at, since_at = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local known = redis.call('HGET', devices, device)
  local stored = 0
  if known then
    stored, born_at = string.match(known, '^(%d+):(%d+)$')
  end
  local newest = tonumber(stored) <= tonumber(epoch)
  if newest then
    -- Also where it says this already, so that whoever waits for replicas waits for it.
    redis.call('HSET', devices, device, epoch .. ':' .. born_at)
    local held = live_entry(presence, starts, device)
    if not (held and epoch_of(held) >= tonumber(epoch)) and not is_dead(starts, node, tonumber(incarnation)) then
      redis.call('HSET', presence, device, table.concat({incarnation, since_at, epoch, node}, ' '))
      see(devices, tonumber(since_at))
    end
  end
  answers[#answers + 1] = newest and 1 or 0
end
return answers
