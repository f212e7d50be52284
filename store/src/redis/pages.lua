-- After fence.lua, head.lua and tomb.lua: pages of messages. Keys, a request: conv, log, tomb. Arguments, a request: after, before,
-- limit, max_bytes, 1 for backwards.
-- Answers, a request: the last seq, the first seq, the end of the change log, and a flat list: entry id, message, entry id, message.

local function text(number)
  return string.format('%.0f', number)
end

local function body_bytes(message)
  return #message - (struct.unpack('>I4', message, 10))
end

local function read(log, tomb, low, high, limit, max_bytes, backwards)
  local found, count, bytes = {}, 0, 0
  local step = 8
  -- Answers whether the page is full.
  local function add(entry)
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
    count = count + 1
    bytes = bytes + body_bytes(entry[2][2])
    return bytes >= max_bytes or count == limit
  end
  -- Messages that the stream does not have were recalled: as far as that is so. Answers whether the page is full.
  local function add_recalled(from, to)
    for seq = from, to, backwards and -1 or 1 do
      local left = tombstone(tomb, text(seq))
      if not left then
        return false
      end
      if add(left) then
        return true
      end
    end
    return false
  end
  while low <= high do
    -- As many as may be wanted still if they are like those so far: large ones should not be read for nothing.
    step = math.max(1, math.min(step, limit - count))
    local entries
    if backwards then
      entries = redis.call('XREVRANGE', log, text(high), text(low), 'COUNT', step)
    else
      entries = redis.call('XRANGE', log, text(low), text(high), 'COUNT', step)
    end
    for _, entry in ipairs(entries) do
      local seq = tonumber(string.match(entry[1], '^%d+'))
      if backwards then
        if (seq < high and add_recalled(high, seq + 1)) or add(entry) then
          return found
        end
        high = seq - 1
      else
        if (seq > low and add_recalled(low, seq - 1)) or add(entry) then
          return found
        end
        low = seq + 1
      end
    end
    if #entries < step then
      if backwards then
        add_recalled(high, low)
      else
        add_recalled(low, high)
      end
      return found
    end
    step = math.min(count * 2, math.ceil((max_bytes - bytes) * count / math.max(bytes, 1)))
  end
  return found
end

local answers = {}
local at = 2
for key = 2, #KEYS, 3 do
  local head = redis.call('HMGET', KEYS[key], 'h', 'first', 'cr')
  local last_seq, first_seq = unpack_head(head[1]), tonumber(head[2] or '1')
  -- The interval that there is.
  local low = math.max(tonumber(ARGV[at]) + 1, first_seq)
  local high = math.min(tonumber(ARGV[at + 1]) - 1, last_seq)
  local found = read(
    KEYS[key + 1], KEYS[key + 2], low, high, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4] == '1'
  )
  answers[#answers + 1] = {last_seq, first_seq, head[3] or '0', found}
  at = at + 5
end
return answers
