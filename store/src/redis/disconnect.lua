-- After version.lua and seen.lua: ends connections of users of one shard.
-- Keys, a connection: device, presence. Arguments, a connection: the device, the epoch.

for key = 1, #KEYS, 2 do
  local held = call('HGET', KEYS[key + 1], ARGV[key])
  if held and string.match(held, '^%d+ %d+ (%d+) ') == ARGV[key + 1] then
    call('HDEL', KEYS[key + 1], ARGV[key])
    see(KEYS[key], now)
  end
end
