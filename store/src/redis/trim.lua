-- After allow_oom.lua, version.lua, head.lua, tomb.lua and search.lua: trims conversations of one shard from their beginning.
-- Keys, a conversation: conv, log, tomb, change. Arguments: for how long messages are kept, milliseconds, and how many of a conversation (with
-- 0, all), and how many entries are removed here at most.
-- Answers, a conversation: how many were removed, 1 where more of it is due, how many are left, and the ages of the oldest and the newest
-- of these.

local age, count, left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = math.floor(now_us / 1000)
local too_late = now - age + 1

-- What is left of recalled messages goes with them, and so does what the change log says of them.
local function forget_recalled(tomb, changes, from, to)
  for seq = from, to - 1 do
    if call('HDEL', tomb, text(seq)) == 1 then
      call('ZREM', changes, 'm' .. text(seq))
    end
  end
end

local answers = {}
for key = 1, #KEYS, 4 do
  local conv, log, tomb, changes = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  local head = call('HMGET', conv, 'h', 'first')
  local last_seq, last_at = unpack_head(head[1])
  local first = tonumber(head[2] or '1')
  local keep_from = first
  if count > 0 then
    keep_from = math.max(keep_from, last_seq - count + 1)
  end
  if age > 0 then
    local sent_before = seq_before(conv, log, tomb, too_late)
    keep_from = math.max(keep_from, sent_before + 1)
  end
  local bounded = math.min(keep_from, first + left)
  if bounded > first then
    call('XTRIM', log, 'MINID', text(bounded))
    if call('EXISTS', tomb) == 1 then
      forget_recalled(tomb, changes, first, bounded)
    end
    call('HSET', conv, 'first', text(bounded))
    left = left - (bounded - first)
  end
  local oldest = entry_of(log, tomb, text(bounded))
  local oldest_at = oldest and tonumber(string.match(oldest[1], '-(%d+)$')) or last_at
  answers[#answers + 1] = {
    bounded - first, bounded < keep_from and 1 or 0, last_seq + 1 - bounded,
    math.max(now - oldest_at, 0), math.max(now - last_at, 0),
  }
end
return answers
