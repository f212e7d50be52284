-- Begins outboxes for a consumer, where they have not begun for it.
-- Keys, a partition: outbox, confirmed. First argument: the consumer.
-- Answers, a partition: 1.

local call = redis.call

local function last_place(outbox)
  if call('EXISTS', outbox) == 0 then
    -- An entry makes the stream. It also fails here, and not in an append, where the server cannot number entries (before 7.0).
    call('XDEL', outbox, call('XADD', outbox, '0-*', 'b', ''))
  end
  local fields = call('XINFO', 'STREAM', outbox)
  for i = 1, #fields, 2 do
    if fields[i] == 'last-generated-id' then
      return string.match(fields[i + 1], '%d+$')
    end
  end
end

local answers = {}
for key = 1, #KEYS, 2 do
  if call('HEXISTS', KEYS[key + 1], ARGV[1]) == 0 then
    call('HSET', KEYS[key + 1], ARGV[1], '0 ' .. last_place(KEYS[key]))
  end
  answers[#answers + 1] = 1
end
return answers
