-- Creates a group or changes its settings. Key: conv. Arguments: created_at, open, name and owner, each after a `=` or
-- missing. Answers 1 where it was created.

local function set(field, value)
  if value == '' then
    redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, string.sub(value, 2))
  end
end

local created = redis.call('HSETNX', KEYS[1], 'made', ARGV[1])
redis.call('HSET', KEYS[1], 'open', ARGV[2])
set('name', ARGV[3])
set('owner', ARGV[4])
return created
