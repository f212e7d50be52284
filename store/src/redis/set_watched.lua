-- After version.lua, live.lua and watchers.lua: notes whether a node watches users of one shard.
-- Keys, a user: watch, starts. First arguments: the incarnation, the node. Then, a user: 1 if it watches.
-- Answers, a user: 1.

local incarnation, node = ARGV[1], ARGV[2]
local answers = {}
for key = 1, #KEYS, 2 do
  local watch, starts = KEYS[key], KEYS[key + 1]
  if not is_dead(starts, node, tonumber(incarnation)) then
    local held = string.match(call('HGET', watch, node) or '', '^(%d+) ')
    if ARGV[2 + (key + 1) / 2] == '1' then
      call('HSET', watch, node, incarnation .. ' ' .. text(now_ms))
      call('PEXPIRE', watch, WATCHED_MS)
    elseif held == incarnation then
      call('HDEL', watch, node)
    end
  end
  answers[#answers + 1] = 1
end
return answers
