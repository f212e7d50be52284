-- After version.lua. When a user was last seen is in the hash of their devices: no device has this name.

local now = math.floor(now_us / 1000)

local function see(devices, at)
  call('HSET', devices, '#', text(math.max(at, tonumber(call('HGET', devices, '#') or '0'))))
end
