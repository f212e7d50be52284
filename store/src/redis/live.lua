-- Shared by scripts that need to know who is connected: put before them, see `script!` in mod.rs.
-- What a start of a node wrote is dead when the node has entered again since, and is removed when it is met.

-- By `starts` and node: its newest incarnation. Not shared by partitions, since `enter` may be on its way through them.
local newest = {}

local function is_dead(starts, node, incarnation)
  local known = newest[starts]
  if not known then
    known = {}
    newest[starts] = known
  end
  local start = known[node]
  if not start then
    start = tonumber(redis.call('HGET', starts, node) or '0')
    known[node] = start
  end
  return incarnation < start
end

-- Whether a field of `presence` is no device, but a node that watches the user's messages.
local function is_watcher(field)
  return string.byte(field) == 42
end

-- The connections of a user, as a flat list: device, entry, device, entry.
local function live_devices(presence, starts)
  local held = redis.call('HGETALL', presence)
  if not held[1] then
    return held
  end
  local live = {}
  for i = 1, #held, 2 do
    local incarnation, node = string.match(held[i + 1], '^(%d+) %d+ %d+ (.+)$')
    if incarnation and is_dead(starts, node, tonumber(incarnation)) then
      redis.call('HDEL', presence, held[i])
    elseif not is_watcher(held[i]) then
      live[#live + 1] = held[i]
      live[#live + 1] = held[i + 1]
    end
  end
  return live
end

-- Adds only the entries of the live connections to a list, and of the nodes that watch the messages. On the road of every message, so it makes no table of its own.
local function add_live_entries(entries, presence, starts)
  local held = redis.call('HGETALL', presence)
  for i = 2, #held, 2 do
    local incarnation, node = string.match(held[i], '^(%d+) %d+ %d+ (.+)$')
    if incarnation and is_dead(starts, node, tonumber(incarnation)) then
      redis.call('HDEL', presence, held[i - 1])
    else
      entries[#entries + 1] = held[i]
    end
  end
  return entries
end

-- The routing version of a group, after dead interest was removed. `version` and `tidy` are the fields rv and en of
-- `conv`: while no node has entered since it was tidied up, there is nothing to look at.
local function routing_version(conv, interest, starts, version, tidy)
  version = tonumber(version or '0')
  local entered = redis.call('HGET', starts, '#') or '0'
  if entered == (tidy or '0') then
    return version
  end
  local held = redis.call('HGETALL', interest)
  local removed = false
  for i = 1, #held, 2 do
    if is_dead(starts, held[i], tonumber(held[i + 1])) then
      redis.call('HDEL', interest, held[i])
      removed = true
    end
  end
  if removed then
    version = version + 1
  end
  redis.call('HSET', conv, 'rv', string.format('%.0f', version), 'en', entered)
  return version
end
