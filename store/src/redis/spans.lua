-- After version.lua and head.lua: shared by scripts that change members. Keys: conv, member, span.

local conv, members, spans_of = KEYS[1], KEYS[2], KEYS[3]

local head = call('HMGET', conv, 'h', 'made')
local exists = head[2]
-- The first seq that a change is about.
local next_seq = text(unpack_head(head[1]) + 1)

-- Answers whether the user was no member.
local function add(user)
  if call('ZADD', members, 'NX', 0, user) == 0 then
    return false
  end
  local spans = call('HGET', spans_of, user)
  call('HSET', spans_of, user, (spans and spans .. ' ' or '') .. next_seq .. '-')
  return true
end

-- Answers whether the user was a member. Who leaves before a message was sent leaves no span: it would hold nothing.
local function remove(user)
  if call('ZREM', members, user) == 0 then
    return false
  end
  local spans = call('HGET', spans_of, user) or ''
  local before, joined = string.match(spans, '^(.-) ?(%d+)%-$')
  if joined ~= next_seq then
    call('HSET', spans_of, user, spans .. next_seq)
  elseif before == '' then
    call('HDEL', spans_of, user)
  else
    call('HSET', spans_of, user, before)
  end
  return true
end

local function members_version(changed)
  local known = call('HGET', conv, 'mv') or '0'
  if changed then
    known = version_after(known)
    call('HSET', conv, 'mv', known)
  end
  return known
end
