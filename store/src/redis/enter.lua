-- Notes the newest start of a node in partitions of one shard.
-- Keys, a partition: starts. Arguments: the incarnation, the node.

for _, starts in ipairs(KEYS) do
  local known = redis.call('HGET', starts, ARGV[2])
  if not known or tonumber(known) < tonumber(ARGV[1]) then
    redis.call('HSET', starts, ARGV[2], ARGV[1])
    redis.call('HINCRBY', starts, '#', 1)
  end
end
