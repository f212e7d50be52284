-- After fence.lua, head.lua, tomb.lua and search.lua: the last seq sent at or before a time.
-- Keys, a conversation: conv, log, tomb. The second argument: the first millisecond that is too late.

local answers = {}
for key = 2, #KEYS, 3 do
  answers[#answers + 1] = seq_before(KEYS[key], KEYS[key + 1], KEYS[key + 2], tonumber(ARGV[2]))
end
return answers
