-- After version.lua, live.lua, seen.lua, watchers.lua and tell.lua: ends connections of users of one shard.
-- First argument: the most entries of an outbox, or nothing where nobody consumes; then there is no outbox among the keys.
-- Keys, a connection: device, presence, away, watch, starts, outbox. Arguments, a connection: the user, the device, the epoch, 1 where it
-- has given the device everything until now.
-- Answers, a connection: the nodes that watch the user, as a flat list: node, incarnation, node, incarnation.

local answers = {}
local most_waiting = ARGV[1] ~= '' and ARGV[1]
local argument = 2
for key = 1, #KEYS, most_waiting and 6 or 5 do
  local user, device, epoch = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
  local received = ARGV[argument + 3] == '1'
  argument = argument + 4
  local held = call('HGET', KEYS[key + 1], device)
  if held and string.match(held, '^%d+ %d+ (%d+) ') == epoch then
    call('HDEL', KEYS[key + 1], device)
    call('HSET', KEYS[key], '#' .. device, text(now))
    see(KEYS[key], now)
    if most_waiting then
      tell(KEYS[key + 5], most_waiting, user)
    end
    if received then
      call('HSET', KEYS[key + 2], device, text(now))
    end
  end
  answers[#answers + 1] = watchers(KEYS[key + 3], KEYS[key + 4])
end
return answers
