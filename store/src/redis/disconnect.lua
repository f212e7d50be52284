-- After live.lua, held.lua and seen.lua: ends connections of users of one shard.
-- Keys, a connection: device, presence. Arguments, a connection: the device, the epoch.

local now = now_ms()
for key = 1, #KEYS, 2 do
  local device, epoch = ARGV[key], tonumber(ARGV[key + 1])
  local held = redis.call('HGET', KEYS[key + 1], device)
  if held and epoch_of(held) == epoch then
    redis.call('HDEL', KEYS[key + 1], device)
    see(KEYS[key], now)
  end
end
