-- Shared by scripts that tell the time or give versions. First key where inboxes are changed: clock, the greatest version
-- given to one here.

local call = redis.call
local clock = call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function text(number)
  return string.format('%.0f', number)
end

-- A version that is greater than every one before: microseconds, so that one that a failover took back is not given again
-- to something else.
local function version_after(known)
  return text(math.max(now_us, tonumber(known or '0') + 1))
end

-- The version of whatever this call changes in inboxes: one for all of them, since nobody sees them in between.
local version
local function inbox_version()
  if not version then
    version = version_after(call('GET', KEYS[1]))
    call('SET', KEYS[1], version)
  end
  return version
end
