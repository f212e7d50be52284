-- After fence.lua: what waits for a consumer.
-- Keys after that of the fence, a partition: outbox, confirmed. Arguments after that of the fence: the consumer, the most entries of
-- a partition.
-- Answers, a partition: the confirmed place, the last place, the entries.

local answers = {}
for key = 2, #KEYS, 2 do
  local place = string.match(redis.call('HGET', KEYS[key + 1], ARGV[2]) or '', ' (%d+)$')
  local last = place and redis.call('XREVRANGE', KEYS[key], '+', '-', 'COUNT', 1)[1]
  if last then
    answers[#answers + 1] = {
      place, string.match(last[1], '%d+$'), redis.call('XRANGE', KEYS[key], '(0-' .. place, '+', 'COUNT', ARGV[3]),
    }
  else
    answers[#answers + 1] = {'0', '0', {}}
  end
end
return answers
