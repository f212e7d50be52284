-- Forgets all devices of a user. Keys: device, presence, away. Argument: what the keys of the user's cursors begin with. Answers a list
-- of one.

local call = redis.call
for _, field in ipairs(call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 1) ~= '#' then
    call('DEL', ARGV[1] .. field)
  end
end
call('DEL', KEYS[1], KEYS[2], KEYS[3])
return {1}
