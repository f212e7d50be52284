-- After version.lua: gives new terms to a consumer.
-- Keys, a partition: confirmed. First argument: the consumer.
-- Answers, a partition: the term, or 0 where it has not been registered.

local answers = {}
for key = 1, #KEYS do
  local known, place = string.match(call('HGET', KEYS[key], ARGV[1]) or '', '^(%d+) (%d+)$')
  local term = '0'
  if known then
    term = version_after(known)
    call('HSET', KEYS[key], ARGV[1], term .. ' ' .. place)
  end
  answers[#answers + 1] = term
end
return answers
