-- After live.lua and version.lua: appends messages to conversations of one shard. Each message is taken or refused by
-- itself; whatever is written of it is written at once, so that an error in the middle leaves nothing half.
--
-- First argument: how long a cid is remembered, milliseconds. Then, a conversation:
--   direct  keys: conv, log, sent0, sent1, then for each inbox to be bumped: inbox, presence, starts
--           arguments: d, the name, how many inboxes, how many messages
--   group   keys: conv, log, sent0, sent1, read, member, interest, starts
--           arguments: g, how many messages
-- and a message:
--   keys: the sender's `device`, where the epoch is to be compared here
--   arguments: the id (8 bytes), whose read mark moves (direct: a, b, ab or nothing; group: the sender), 1 if the sender
--   must be a member, the field of `sent` of its cid or nothing, the device or nothing, with a device its epoch
--   (`-`: known to be old, `+`: known not to be), the message
--
-- Answers, a conversation: the last seq, sent_at of what was stored now, the members version, the routing version, the
-- entries of live connections of the users, then a message: its seq, or a list of entry id and bytes of the one that was
-- stored before, or -1 no group, -2 no member, -3 an old epoch.

local retention = tonumber(ARGV[1])
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local today = math.floor(now / retention)

local function text(number)
  return string.format('%.0f', number)
end

-- Ids need all 64 bits, and a number here has 53.
local function is_above(id, other)
  local high, low = struct.unpack('>I4I4', id)
  local other_high, other_low = struct.unpack('>I4I4', other)
  return high > other_high or (high == other_high and low > other_low)
end

local function id_of(entry)
  return string.sub(entry[2][2], 2, 9)
end

local function sent_at_of(entry)
  return tonumber(string.match(entry[1], '-(%d+)$'))
end

local function entry_at(c, seq)
  return redis.call('XRANGE', c.log, text(seq), text(seq))[1]
end

-- What `sent` has for a field: the message, if retention has left it.
local function remembered(c, field)
  for _, day in ipairs({c.day, c.old}) do
    if day >= today - 1 then
      local seq = redis.call('HGET', c.sent[day % 2], field)
      local entry = seq and entry_at(c, tonumber(seq))
      if entry then
        return entry
      end
    end
  end
end

-- The first message up to which the greatest id is not below `id`, found by going back in growing steps, then by halving:
-- a repetition comes soon. Ids that were the greatest so far when they came are found so; `remembered` has the others.
local function leader(c, id)
  local function reaches(seq)
    local entry = entry_at(c, seq)
    return entry and not is_above(id, entry[2][4] or id_of(entry)), entry
  end
  local low, high, step = c.first - 1, c.seq, 1
  local found
  while high - step > low do
    local yes, entry = reaches(high - step)
    if not yes then
      low = high - step
      break
    end
    high, found, step = high - step, entry, step * 2
  end
  while low + 1 < high do
    local middle = math.floor((low + high) / 2)
    local yes, entry = reaches(middle)
    if yes then
      high, found = middle, entry
    else
      low = middle
    end
  end
  found = found or entry_at(c, high)
  if found and id_of(found) == id then
    return found
  end
end

local function remember(c, field, seq)
  local day = math.max(today, c.day)
  redis.call('HSET', c.sent[day % 2], field, text(seq))
  if day ~= c.day then
    redis.call('PEXPIREAT', c.sent[day % 2], text((day + 2) * retention))
    redis.call('HSET', c.conv, 'day', text(day), 'old', text(c.day))
    c.day, c.old = day, c.day
  end
end

local function store(c, id, mark, field, message)
  local seq = c.seq + 1
  local late = c.max and not is_above(id, c.max)
  c.at = math.max(now, c.at)
  local entry, at = text(seq) .. '-' .. text(c.at), text(c.at)
  if late then
    redis.call('XADD', c.log, entry, 'm', message, 'x', c.max)
  else
    redis.call('XADD', c.log, entry, 'm', message)
    c.max = id
  end
  c.seq = seq
  seq = text(seq)
  if c.read or mark == '' then
    redis.call('HSET', c.conv, 'seq', seq, 'at', at, 'max', c.max)
  elseif mark == 'ab' then
    redis.call('HSET', c.conv, 'seq', seq, 'at', at, 'max', c.max, 'a', seq, 'b', seq)
  else
    redis.call('HSET', c.conv, 'seq', seq, 'at', at, 'max', c.max, mark, seq)
  end
  if c.read then
    redis.call('HSET', c.read, mark, seq)
  end
  if late then
    remember(c, ' ' .. id, c.seq)
  end
  if field ~= '' then
    remember(c, field, c.seq)
  end
  return c.seq
end

local function stored_before(c, id, field)
  local entry
  if c.max and not is_above(id, c.max) then
    entry = remembered(c, ' ' .. id) or leader(c, id)
  end
  if not entry and field ~= '' then
    entry = remembered(c, field)
    if entry and sent_at_of(entry) <= now - retention then
      entry = nil
    end
  end
  if entry then
    -- Written again, so that whoever waits for replicas waits for the first one, too.
    redis.call('HSET', c.conv, 'seq', text(c.seq))
    return {entry[1], entry[2][2]}
  end
end

local key, argument = 1, 2
local function next_key()
  key = key + 1
  return KEYS[key - 1]
end
local function next_argument()
  argument = argument + 1
  return ARGV[argument - 1]
end

local function append(c)
  local id, mark, must_be_member, field, device =
    next_argument(), next_argument(), next_argument(), next_argument(), next_argument()
  local epoch, epochs
  if device ~= '' then
    epoch = next_argument()
    if epoch ~= '-' and epoch ~= '+' then
      epochs = next_key()
    end
  end
  local message = next_argument()
  if c.member then
    if not c.made then
      return -1
    end
    if must_be_member == '1' and not redis.call('ZSCORE', c.member, mark) then
      return -2
    end
  end
  if epochs then
    local known = redis.call('HGET', epochs, device)
    if known and tonumber(epoch) < tonumber(string.match(known, '^%d+')) then
      return -3
    end
  elseif epoch == '-' then
    return -3
  end
  return stored_before(c, id, field) or store(c, id, mark, field, message)
end

local answers = {}
while argument <= #ARGV do
  local group = next_argument() == 'g'
  local c = {conv = next_key(), log = next_key()}
  c.sent = {[0] = next_key(), [1] = next_key()}
  local head = redis.call('HMGET', c.conv, 'seq', 'at', 'max', 'first', 'day', 'old', 'mv', 'rv', 'en', 'made')
  c.seq, c.at, c.max = tonumber(head[1] or '0'), tonumber(head[2] or '0'), head[3]
  c.first, c.day, c.old = tonumber(head[4] or '1'), tonumber(head[5] or '0'), tonumber(head[6] or '0')
  local answer = {0, 0, head[7] or '0', 0, {}}
  local name
  local inboxes = {}
  if group then
    c.read, c.member, c.made = next_key(), next_key(), head[10]
    local interest, starts = next_key(), next_key()
    -- Not for a group that nobody made: whoever names one should leave nothing behind.
    if c.made then
      answer[4] = routing_version(c.conv, interest, starts, head[8], head[9])
    end
  else
    name = next_argument()
    for n = 1, tonumber(next_argument()) do
      inboxes[n] = {next_key(), next_key(), next_key()}
    end
  end
  local taken = false
  for _ = 1, tonumber(next_argument()) do
    local outcome = append(c)
    taken = taken or type(outcome) == 'table' or outcome > 0
    answer[#answer + 1] = outcome
  end
  answer[1], answer[2] = c.seq, c.at
  if taken then
    for _, of in ipairs(inboxes) do
      bump(of[1], name, c.seq)
      for _, entry in ipairs(live_entries(of[2], of[3])) do
        answer[5][#answer[5] + 1] = entry
      end
    end
  end
  answers[#answers + 1] = answer
end
return answers
