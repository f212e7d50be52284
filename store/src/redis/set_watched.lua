-- After version.lua, live.lua and watchers.lua: notes whether a node watches users of one shard.
-- Keys, a user: watch, presence, starts. First arguments: the incarnation, the node. Then, a user: 1 if it watches; 1 if it is
-- about the messages, else it is about the presence.
-- Answers, a user: 1.

local incarnation, node = ARGV[1], ARGV[2]
local answers = {}
local at = 3
for key = 1, #KEYS, 3 do
  local watch, presence, starts = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local wanted, messages = ARGV[at] == '1', ARGV[at + 1] == '1'
  at = at + 2
  local hash, field, entry = watch, node, incarnation .. ' ' .. text(now_ms)
  if messages then
    hash, field, entry = presence, '*' .. node, table.concat({incarnation, text(now_ms), 0, node}, ' ')
  end
  if not is_dead(starts, node, tonumber(incarnation)) then
    if wanted then
      call('HSET', hash, field, entry)
      if not messages then
        call('PEXPIRE', watch, WATCHED_MS)
      end
    elseif string.match(call('HGET', hash, field) or '', '^(%d+) ') == incarnation then
      call('HDEL', hash, field)
    end
  end
  answers[#answers + 1] = 1
end
return answers
