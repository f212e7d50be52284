-- Before a change of members: notes in inboxes that it is under way, so that a repetition after a crash knows whom nobody
-- has told. Keys, a user: inbox. First argument: the group's conversation; then, a user: 1 where the group is to be put
-- there if it is missing. Answers, a user: 1 where an earlier change has not ended.

local answers = {}
for n = 1, #KEYS do
  local state = redis.call('HGET', KEYS[n], ARGV[1])
  if state or ARGV[n + 1] == '1' then
    redis.call('HSET', KEYS[n], ARGV[1], 'p')
  end
  answers[n] = state == 'p' and 1 or 0
end
return answers
