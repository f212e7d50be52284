-- After head.lua and tomb.lua. Shared by scripts that look for a time: sent_at never decreases with seq, so halving finds it.

-- Of the conversation of these keys: the last seq that was sent before `too_late`, milliseconds; and the last seq.
local function seq_before(conv, log, tomb, too_late)
  local head = redis.call('HMGET', conv, 'h', 'first')
  local last_seq, last_at = unpack_head(head[1])
  if last_at < too_late then
    return last_seq, last_seq
  end
  -- Everything below `low` was sent in time, `high` was not.
  local low, high = tonumber(head[2] or '1'), last_seq
  while low < high do
    local middle = string.format('%.0f', math.floor((low + high) / 2))
    local entry = entry_of(log, tomb, middle)
    if not entry or tonumber(string.match(entry[1], '-(%d+)$')) < too_late then
      low = tonumber(middle) + 1
    else
      high = tonumber(middle)
    end
  end
  return math.max(low - 1, 0), last_seq
end
