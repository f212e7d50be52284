-- After fence.lua and head.lua: the last seq sent at or before a time. sent_at never decreases with seq, so halving finds it.
-- Keys, a conversation: conv, log. The second argument: the first millisecond that is too late.

local too_late = tonumber(ARGV[2])
local answers = {}
for key = 2, #KEYS, 2 do
  local head = redis.call('HMGET', KEYS[key], 'h', 'first')
  local last_seq, last_at = unpack_head(head[1])
  if last_at < too_late then
    answers[#answers + 1] = last_seq
  else
    -- Everything below `low` was sent in time, `high` was not.
    local low, high = tonumber(head[2] or '1'), last_seq
    while low < high do
      local middle = string.format('%.0f', math.floor((low + high) / 2))
      local entry = redis.call('XRANGE', KEYS[key + 1], middle, middle)[1]
      if not entry or tonumber(string.match(entry[1], '-(%d+)$')) < too_late then
        low = tonumber(middle) + 1
      else
        high = tonumber(middle)
      end
    end
    answers[#answers + 1] = math.max(low - 1, 0)
  end
end
return answers
