-- After tell.lua: forgets all devices of a user. Keys: device, presence, away, and outbox where somebody consumes. Arguments: the most
-- entries of an outbox or nothing, what the keys of the user's cursors begin with, the user. Answers a list of one.

local call = redis.call
for _, field in ipairs(call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 1) ~= '#' then
    call('DEL', ARGV[2] .. field)
  end
end
call('DEL', KEYS[1], KEYS[3])
for _, field in ipairs(call('HKEYS', KEYS[2])) do
  -- Not the nodes that watch what is written to the user.
  if string.sub(field, 1, 1) ~= '*' then
    call('HDEL', KEYS[2], field)
  end
end
-- So that a consumer forgets too what it was told of the user.
if ARGV[1] ~= '' then
  tell(KEYS[4], ARGV[1], ARGV[3])
end
return {1}
