-- After version.lua and seen.lua: ends connections of users of one shard.
-- Keys, a connection: device, presence, away. Arguments, a connection: the device, the epoch, 1 where it has given the
-- device everything until now.

local argument = 1
for key = 1, #KEYS, 3 do
  local device, epoch = ARGV[argument], ARGV[argument + 1]
  local received = ARGV[argument + 2] == '1'
  argument = argument + 3
  local held = call('HGET', KEYS[key + 1], device)
  if held and string.match(held, '^%d+ %d+ (%d+) ') == epoch then
    call('HDEL', KEYS[key + 1], device)
    call('HSET', KEYS[key], '#' .. device, text(now))
    see(KEYS[key], now)
    if received then
      call('HSET', KEYS[key + 2], device, text(now))
    end
  end
end
