-- A consumer has been given everything up to a place; what all have been given goes.
-- Keys, a partition: outbox, confirmed, told. First argument: the consumer; then, a partition: the term, the place, of how many
-- users something is to be remembered, and each with what; nothing: not any more.
-- Answers, a partition: 1, or 0 where a later term was given and nothing is changed.

local call = redis.call
local answers = {}
local at = 2

for key = 1, #KEYS, 3 do
  local outbox, confirmed, told = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local term, place, users = ARGV[at], ARGV[at + 1], at + 3
  at = users + 2 * tonumber(ARGV[at + 2])
  local stored_term, stored_place = string.match(call('HGET', confirmed, ARGV[1]) or '', '^(%d+) (%d+)$')
  if stored_term == term then
    if tonumber(place) > tonumber(stored_place) then
      call('HSET', confirmed, ARGV[1], term .. ' ' .. place)
      local least
      for _, each in ipairs(call('HVALS', confirmed)) do
        local other = tonumber(string.match(each, '%d+$'))
        least = math.min(least or other, other)
      end
      call('XTRIM', outbox, 'MINID', '0-' .. string.format('%.0f', least + 1))
    end
    for user = users, at - 2, 2 do
      if ARGV[user + 1] == '' then
        call('HDEL', told, ARGV[user])
      else
        call('HSET', told, ARGV[user], ARGV[user + 1])
      end
    end
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
return answers
