-- After live.lua: notes whether a node wants hints of groups of one shard.
-- Keys, a group: conv, interest, starts. First arguments: the incarnation, the node. Then, a group: 1 if it wants them.

local incarnation, node = ARGV[1], ARGV[2]
for key = 1, #KEYS, 3 do
  local conv, interest, starts = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  if not is_dead(starts, node, tonumber(incarnation)) then
    local wanted = ARGV[2 + (key + 2) / 3] == '1'
    local held = redis.call('HGET', interest, node)
    local changed
    if wanted and held ~= incarnation then
      changed = redis.call('HSET', interest, node, incarnation)
    elseif not wanted and held == incarnation then
      changed = redis.call('HDEL', interest, node)
    end
    if changed then
      -- Microseconds, so that a version that a failover took back is not given again to other nodes.
      local time = redis.call('TIME')
      local version = tonumber(time[1]) * 1000000 + tonumber(time[2])
      version = math.max(version, tonumber(redis.call('HGET', conv, 'rv') or '0') + 1)
      redis.call('HSET', conv, 'rv', string.format('%.0f', version))
    end
  end
end
