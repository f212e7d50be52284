-- Shared by scripts that give versions to inboxes and members.

local clock = redis.call('TIME')

-- The version after the known one: microseconds, so that one that a failover took back is not given again to something
-- else.
local function next_version(known)
  local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  return string.format('%.0f', math.max(now, tonumber(known or '0') + 1))
end

-- The conversation has come as far as `seq` at least; the version grows in any case: a repetition is told again.
local function bump(inbox, conversation, seq)
  local known = redis.call('HMGET', inbox, conversation, '#')
  local version = next_version(known[2])
  if tonumber(known[1] or '0') < seq then
    redis.call('HSET', inbox, conversation, string.format('%.0f', seq), '#', version)
  else
    redis.call('HSET', inbox, '#', version)
  end
end
