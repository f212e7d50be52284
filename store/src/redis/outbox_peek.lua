-- In which partitions something waits for a consumer. Called while nothing happens, so it asks for two things only.
-- Keys, a partition: outbox, confirmed. First argument: the consumer.
-- Answers, a partition: how many entries wait.

local answers = {}
for key = 1, #KEYS, 2 do
  local place = string.match(redis.call('HGET', KEYS[key + 1], ARGV[1]) or '', ' (%d+)$')
  local last = place and redis.call('XREVRANGE', KEYS[key], '+', '-', 'COUNT', 1)[1]
  answers[#answers + 1] = last and tonumber(string.match(last[1], '%d+$')) - tonumber(place) or 0
end
return answers
