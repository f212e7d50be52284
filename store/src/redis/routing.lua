-- After live.lua: the routing of groups of one shard.
-- Keys, a group: conv, interest, starts.
-- Answers, a group: the version, and a flat list: node, incarnation, node, incarnation.

local answers = {}
for key = 1, #KEYS, 3 do
  local conv, interest, starts = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local head = redis.call('HMGET', conv, 'rv', 'en')
  -- Of a group that nobody was ever interested in nothing is to be tidied up, and nothing to be left behind.
  local version = 0
  if head[1] then
    version = routing_version(conv, interest, starts, head[1], head[2])
  end
  answers[#answers + 1] = {string.format('%.0f', version), redis.call('HGETALL', interest)}
end
return answers
