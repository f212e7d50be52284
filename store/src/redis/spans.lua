-- After version.lua: shared by scripts that change members. Keys: conv, member, span.

local head = redis.call('HMGET', KEYS[1], 'seq', 'made')
local exists = head[2]
-- The first seq that a change is about.
local next_seq = string.format('%.0f', tonumber(head[1] or '0') + 1)

-- Answers whether the user was no member.
local function add(user)
  if redis.call('ZADD', KEYS[2], 'NX', 0, user) == 0 then
    return false
  end
  local spans = redis.call('HGET', KEYS[3], user)
  redis.call('HSET', KEYS[3], user, (spans and spans .. ' ' or '') .. next_seq .. '-')
  return true
end

-- Answers whether the user was a member. Who leaves before a message was sent leaves no span: it would hold nothing.
local function remove(user)
  if redis.call('ZREM', KEYS[2], user) == 0 then
    return false
  end
  local spans = redis.call('HGET', KEYS[3], user) or ''
  local before, joined = string.match(spans, '^(.-) ?(%d+)%-$')
  if joined ~= next_seq then
    redis.call('HSET', KEYS[3], user, spans .. next_seq)
  elseif before == '' then
    redis.call('HDEL', KEYS[3], user)
  else
    redis.call('HSET', KEYS[3], user, before)
  end
  return true
end

local function members_version(changed)
  local known = redis.call('HGET', KEYS[1], 'mv') or '0'
  if changed then
    known = next_version(known)
    redis.call('HSET', KEYS[1], 'mv', known)
  end
  return known
end
