-- After live.lua, shared by scripts about rooms: put before them, see `script!` in mod.rs.
-- A room is forgotten a day after the last node asked about it: nobody would tidy up after nodes that never come again.

local KEPT_MS = 24 * 60 * 60 * 1000

-- The nodes that hold members of a room, as a flat list: node, entry, node, entry.
local function holders(room, starts)
  local held = redis.call('HGETALL', room)
  local live = {}
  for i = 1, #held, 2 do
    local incarnation = string.match(held[i + 1], '^(%d+) ')
    if incarnation and is_dead(starts, held[i], tonumber(incarnation)) then
      redis.call('HDEL', room, held[i])
    else
      live[#live + 1] = held[i]
      live[#live + 1] = held[i + 1]
    end
  end
  -- It is asked about every few seconds: it need not be written as often.
  if live[1] and redis.call('PTTL', room) < KEPT_MS / 2 then
    redis.call('PEXPIRE', room, KEPT_MS)
  end
  return live
end
