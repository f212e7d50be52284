-- After version.lua, live.lua and head.lua: shared by scripts that change what was sent.
--
-- First keys: clock, starts. First argument: how many changes of a conversation are kept. Then, an item:
--   keys: conv, log, tomb, change, read, member, span, interest, then for each inbox to be bumped: inbox, presence, changed
--   arguments: g for a group, else how many inboxes (0 to 2); the name; then what the script says

local kept = tonumber(ARGV[1])
local key, argument = 3, 2
local conv, log, tomb, changes, reads, members, spans_of, interest
local is_group, name, inboxes, last_inbox

-- Reads the keys of the next item, and its first arguments; `argument` is then the place of the next one.
local function next_item()
  if argument > #ARGV then
    return false
  end
  conv, log, tomb, changes = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  reads, members, spans_of, interest = KEYS[key + 4], KEYS[key + 5], KEYS[key + 6], KEYS[key + 7]
  local kind = ARGV[argument]
  is_group, name = kind == 'g', ARGV[argument + 1]
  inboxes = key + 8
  last_inbox = inboxes + 3 * (is_group and 0 or tonumber(kind)) - 3
  key, argument = last_inbox + 3, argument + 2
  return true
end

-- Puts a change at the end of the log, in place of an older one of the same name. Answers its rev, and the one before it.
local function log_change(member)
  local previous = call('HGET', conv, 'cr') or '0'
  local rev = version_after(previous)
  if call('ZADD', changes, rev, member) == 1 then
    call('ZREMRANGEBYRANK', changes, 0, -1 - kept)
  end
  call('HSET', conv, 'cr', rev)
  return rev, previous
end

-- Bumps the inboxes. Answers whom to tell: of a group the members version and the routing version, else entries of
-- connections.
local function routing(rev)
  if is_group then
    local head = call('HMGET', conv, 'mv', 'rv', 'en')
    local version = routing_version(conv, interest, KEYS[2], head[2], head[3])
    return {head[1] or '0', text(version)}
  end
  local nodes = {}
  for inbox = inboxes, last_inbox, 3 do
    call('ZADD', KEYS[inbox + 2], 'GT', rev, name)
    call('HSET', KEYS[inbox], '#', inbox_version())
    add_live_entries(nodes, KEYS[inbox + 1], KEYS[2])
  end
  return nodes
end
