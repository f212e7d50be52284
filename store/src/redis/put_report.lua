-- Keeps the report of a node, unless that of a later start is kept; at the bound the oldest one goes.
-- Key: reports. Arguments: the node, the report, its incarnation, how many may be kept.
-- A report begins with the version of its format, the incarnation and the time.

local function incarnation_and_time(report)
  local incarnation, time = string.match(report, '^%d+ (%d+) (%-?%d+) ')
  return tonumber(incarnation), tonumber(time)
end

local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and incarnation_and_time(known) > tonumber(ARGV[3]) then
  return
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  local all = redis.call('HGETALL', KEYS[1])
  local oldest, oldest_at
  for i = 1, #all, 2 do
    local _, at = incarnation_and_time(all[i + 1])
    if not oldest_at or at < oldest_at then
      oldest, oldest_at = all[i], at
    end
  end
  redis.call('HDEL', KEYS[1], oldest)
end
