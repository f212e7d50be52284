-- After version.lua, live.lua and seen.lua: forgets devices of a user that were not used for long, and those beyond what a
-- user may have.

local function is_first_to_go(one, other)
  if one.entry and not other.entry or other.entry and not one.entry then
    return not one.entry
  end
  if one.at ~= other.at then
    return one.at < other.at
  end
  return one.device < other.device
end

-- Makes room for the device `own`, which is registered. `cursors` is what the keys of the user's cursors begin with. Answers
-- those that were connected, as a flat list: device, entry, device, entry.
local function make_room(devices, presence, starts, away, cursors, own, most, unused_ms)
  local fields = call('HGETALL', devices)
  local names, seen = {}, {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) == '#' then
      seen[string.sub(fields[i], 2)] = tonumber(fields[i + 1])
    elseif fields[i] ~= own then
      names[#names + 1] = fields[i]
    end
  end
  if #names == 0 then
    return {}
  end
  local held = {}
  local live = live_devices(presence, starts)
  for i = 1, #live, 2 do
    held[live[i]] = live[i + 1]
  end
  local evicted = {}
  local function forget(device)
    call('HDEL', devices, device, '#' .. device)
    call('HDEL', presence, device)
    call('HDEL', away, device)
    call('DEL', cursors .. device)
    if held[device] then
      evicted[#evicted + 1] = device
      evicted[#evicted + 1] = held[device]
    end
  end
  local kept = {}
  for _, device in ipairs(names) do
    local entry = held[device]
    local at = entry and tonumber(string.match(entry, '^%d+ (%d+) ')) or seen[device]
    if not at then
      -- An older program has registered it: its time begins now.
      at = now
      call('HSET', devices, '#' .. device, text(now))
    end
    if not entry and at <= now - unused_ms then
      forget(device)
    else
      kept[#kept + 1] = {device = device, entry = entry, at = at}
    end
  end
  table.sort(kept, is_first_to_go)
  for n = 1, #kept + 1 - most do
    forget(kept[n].device)
  end
  return evicted
end
