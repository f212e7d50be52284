-- After head.lua, tomb.lua and search.lua: how many messages a conversation has got lately, by the clock of this server as append.lua.
-- Keys: conv, log, tomb. Argument: for how long, milliseconds.

local clock = redis.call('TIME')
local now = math.floor((tonumber(clock[1]) * 1000000 + tonumber(clock[2])) / 1000)
local before, last = seq_before(KEYS[1], KEYS[2], KEYS[3], now - tonumber(ARGV[1]) + 1)
return last - before
