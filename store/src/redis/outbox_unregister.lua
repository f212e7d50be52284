-- Forgets a consumer, and with the last one what waits.
-- Keys, a partition: outbox, confirmed, told. First argument: the consumer.
-- Answers, a partition: 1.

local answers = {}
for key = 1, #KEYS, 3 do
  redis.call('HDEL', KEYS[key + 1], ARGV[1])
  redis.call('DEL', KEYS[key + 2])
  if redis.call('EXISTS', KEYS[key + 1]) == 0 then
    redis.call('DEL', KEYS[key])
  end
  answers[#answers + 1] = 1
end
return answers
