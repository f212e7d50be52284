-- Milliseconds since the Unix epoch.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Numbers as Redis keeps them: without an exponent.
local function text(number)
  return string.format('%.0f', number)
end

-- When a user was last seen, in the hash of their devices: no device has this name.
local function see(devices, at)
  at = math.max(at, tonumber(redis.call('HGET', devices, '#') or '0'))
  redis.call('HSET', devices, '#', text(at))
end
