-- After version.lua and live.lua: notes whether a node wants hints of groups of one shard.
-- Keys, a group: conv, interest, starts. First arguments: the incarnation, the node. Then, a group: 1 if it wants them.

local incarnation, node = ARGV[1], ARGV[2]
for key = 1, #KEYS, 3 do
  local conv, interest, starts = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  if not is_dead(starts, node, tonumber(incarnation)) then
    local wanted = ARGV[2 + (key + 2) / 3] == '1'
    local held = call('HGET', interest, node)
    if wanted and held ~= incarnation then
      call('HSET', interest, node, incarnation)
      call('HSET', conv, 'rv', version_after(call('HGET', conv, 'rv')))
    elseif not wanted and held == incarnation then
      call('HDEL', interest, node)
      call('HSET', conv, 'rv', version_after(call('HGET', conv, 'rv')))
    end
  end
end
