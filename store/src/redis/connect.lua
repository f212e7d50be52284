-- After version.lua, live.lua, seen.lua, forget.lua, watchers.lua and tell.lua: connects devices of users of one shard.
-- First argument: the most entries of an outbox, or nothing where nobody consumes; then there is no outbox among the keys.
-- Keys, a connection: device, presence, starts, away, watch, outbox. Arguments, a connection: the user, the device, the node's incarnation, the node, the
-- most devices, after how many milliseconds an unused one is forgotten, what the keys of the user's cursors begin with.
-- Answers, a connection: its epoch, born_at, whether the device was known, the time now, the entry of whoever held it,
-- since when it was away, the devices that were forgotten although they were connected, the nodes that watch the user.

local answers = {}
local most_waiting = ARGV[1] ~= '' and ARGV[1]
local at = 2
for key = 1, #KEYS, most_waiting and 6 or 5 do
  local devices, presence, starts, away = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  local user, device, incarnation, node = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local most, unused_ms, cursors = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), ARGV[at + 6]
  at = at + 7
  local known = call('HGET', devices, device)
  local epoch, born_at = 0, '0'
  if known then
    epoch, born_at = string.match(known, '^(%d+):(%d+)$')
  elseif call('EXISTS', devices) == 1 then
    born_at = text(now)
  end
  epoch = version_after(epoch)
  local held = call('HGET', presence, device)
  local by, holder = string.match(held or '', '^(%d+) %d+ %d+ (.+)$')
  if by and is_dead(starts, holder, tonumber(by)) then
    held = false
  end
  call('HSET', devices, device, epoch .. ':' .. born_at, '#' .. device, text(now))
  see(devices, now)
  drop_lapsed(presence)
  -- Also where the node's start is dead by now: whoever reads it passes it over.
  call('HSET', presence, device, table.concat({incarnation, text(now), epoch, node}, ' '))
  -- A device from before there was a change log has nothing here.
  local away_since = known and (call('HGET', away, device) or '0')
  if not away_since then
    away_since = text(now)
    call('HSET', away, device, away_since)
  end
  local evicted = make_room(devices, presence, starts, away, cursors, device, most, unused_ms)
  if most_waiting then
    tell(KEYS[key + 5], most_waiting, user)
  end
  answers[#answers + 1] = {epoch, born_at, known and 1 or 0, text(now), held, away_since, evicted,
    watchers(KEYS[key + 4], starts)}
end
return answers
