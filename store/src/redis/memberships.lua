-- After fence.lua and head.lua: when users were members. Keys, a question: conv, span. Arguments, a question: the user.
-- Answers, a question: the last seq, the members version, the end of the change log, the spans or nothing.

local answers = {}
for key = 2, #KEYS, 2 do
  local head = redis.call('HMGET', KEYS[key], 'h', 'mv', 'cr')
  local spans = redis.call('HGET', KEYS[key + 1], ARGV[key / 2 + 1])
  answers[#answers + 1] = {(unpack_head(head[1])), head[2] or '0', head[3] or '0', spans}
end
return answers
