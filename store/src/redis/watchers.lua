-- After version.lua and live.lua, shared by scripts about who watches whom: put before them, see `script!` in mod.rs.
-- What a node has not said again for a day has lapsed: nobody would tidy up after nodes that never come again.

local WATCHED_MS = 24 * 60 * 60 * 1000
local now_ms = math.floor(now_us / 1000)

-- Nodes that watch a user's messages are among the connections, as `*<node>`: each message reads those anyway. Removes the
-- lapsed ones.
local function drop_lapsed(presence)
  local held = call('HGETALL', presence)
  for i = 1, #held, 2 do
    if is_watcher(held[i]) and tonumber(string.match(held[i + 1], '^%d+ (%d+) ')) <= now_ms - WATCHED_MS then
      call('HDEL', presence, held[i])
    end
  end
end

-- The nodes that watch a user's presence, as a flat list: node, incarnation, node, incarnation.
local function watchers(watch, starts)
  local held = call('HGETALL', watch)
  if not held[1] then
    return held
  end
  local live = {}
  for i = 1, #held, 2 do
    local incarnation, at = string.match(held[i + 1], '^(%d+) (%d+)$')
    if is_dead(starts, held[i], tonumber(incarnation)) or tonumber(at) <= now_ms - WATCHED_MS then
      call('HDEL', watch, held[i])
    else
      live[#live + 1] = held[i]
      live[#live + 1] = incarnation
    end
  end
  return live
end
