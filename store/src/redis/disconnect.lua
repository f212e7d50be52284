-- After version.lua, live.lua, seen.lua and watchers.lua: ends connections of users of one shard.
-- Keys, a connection: device, presence, away, watch, starts. Arguments, a connection: the device, the epoch, 1 where it has
-- given the device everything until now.
-- Answers, a connection: the nodes that watch the user, as a flat list: node, incarnation, node, incarnation.

local answers = {}
local argument = 1
for key = 1, #KEYS, 5 do
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
  answers[#answers + 1] = watchers(KEYS[key + 3], KEYS[key + 4])
end
return answers
