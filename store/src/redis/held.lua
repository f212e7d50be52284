-- After live.lua: the entry of the live connection of one device, or false.
local function live_entry(presence, starts, device)
  local held = redis.call('HGET', presence, device)
  local incarnation, node = string.match(held or '', '^(%d+) %d+ %d+ (.+)$')
  if incarnation and is_dead(starts, node, tonumber(incarnation)) then
    redis.call('HDEL', presence, device)
    return false
  end
  return held
end

local function epoch_of(entry)
  return tonumber(string.match(entry, '^%d+ %d+ (%d+) '))
end
