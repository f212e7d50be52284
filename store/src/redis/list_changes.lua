-- After fence.lua: what change logs hold. Keys, a question: conv, tomb, change, read. Arguments, a question: the first user of a
-- direct conversation or nothing, the rev after which it begins.
-- Answers, a question: the end of the log, and a flat list, ascending: rev, m<seq> with the message without body, or u<user> with
-- how far they have read.

local answers = {}
local at = 2
for key = 2, #KEYS, 4 do
  local conv, tomb, changes, reads = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  local first, after = ARGV[at], ARGV[at + 1]
  at = at + 2
  local head = redis.call('HMGET', conv, 'cr', 'a', 'b')
  local found = {}
  if tonumber(head[1] or '0') > tonumber(after) then
    local entries = redis.call('ZRANGE', changes, '(' .. after, '+inf', 'BYSCORE', 'WITHSCORES')
    for n = 1, #entries, 2 do
      local kind, name = string.sub(entries[n], 1, 1), string.sub(entries[n], 2)
      local value
      if kind == 'm' then
        local left = redis.call('HGET', tomb, name)
        value = left and string.sub(left, 17)
      elseif first == '' then
        value = redis.call('HGET', reads, name)
      else
        value = name == first and head[2] or head[3]
      end
      -- Retention may have taken the message meanwhile.
      if value then
        local next = #found
        found[next + 1], found[next + 2], found[next + 3] = entries[n + 1], entries[n], value
      end
    end
  end
  answers[#answers + 1] = {head[1] or '0', found}
end
return answers
