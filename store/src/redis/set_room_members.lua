-- After live.lua and holders.lua: notes how many members of the rooms of one shard a node holds.
-- Keys, a room: room, starts. First arguments: the incarnation, the node. Then, a room: how many members.
-- Answers, a room: a flat list of those who hold it now: node, entry, node, entry.

local incarnation, node = ARGV[1], ARGV[2]
local answers = {}
for key = 1, #KEYS, 2 do
  local room, starts = KEYS[key], KEYS[key + 1]
  if not is_dead(starts, node, tonumber(incarnation)) then
    local members = ARGV[2 + (key + 1) / 2]
    if members ~= '0' then
      redis.call('HSET', room, node, incarnation .. ' ' .. members)
    elseif string.match(redis.call('HGET', room, node) or '', '^(%d+) ') == incarnation then
      redis.call('HDEL', room, node)
    end
  end
  answers[#answers + 1] = holders(room, starts)
end
return answers
