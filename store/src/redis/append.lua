-- After version.lua, live.lua, head.lua and tomb.lua: appends messages to conversations of one shard. Each message is taken or
-- refused by itself; whatever is written of it is written at once, so that an error in the middle leaves nothing half.
--
-- This is the road of every message, so it makes few calls, few tables and few texts.
--
-- First keys: clock, starts. First arguments: how long a cid is remembered, milliseconds; the most entries of an outbox, or nothing
-- where nobody consumes. Then, a conversation (with [outbox] and [name] only where somebody consumes):
--   direct  keys: conv, log, tomb, sent0, sent1, [outbox], then for each inbox to be bumped: inbox, presence
--           arguments: how many inboxes (0 to 2), how many messages, the name
--   group   keys: conv, log, tomb, sent0, sent1, [outbox], read, member, interest, starts
--           arguments: g, how many messages, [name]
-- and a message:
--   keys: the sender's `device`, where the epoch is to be compared here
--   arguments: whose read mark moves (direct: a, b, ab or nothing; group: the sender, after a + if they must be a member
--   or a -), the field of `sent` of its cid or nothing, the device or nothing, with a device its epoch (`-`: known to be
--   old, `+`: known not to be), the message
--
-- Answers one flat list. A conversation: the last seq, sent_at of what was stored now, of a group the members version and
-- the routing version, else the entries of live connections of the users or nothing; then a message: its seq, or a list of
-- entry id and bytes of the one that was stored before, or -1 no group, -2 no member, -3 an old epoch.

local unpack_id, pack = struct.unpack, struct.pack
local retention = tonumber(ARGV[1])
local most_waiting = ARGV[2] ~= '' and ARGV[2]
local starts = KEYS[2]
local now = math.floor(now_us / 1000)
local now_text = text(now)
local today = math.floor(now / retention)

-- Of the conversation at hand.
local conv, log, tomb
local sent = {}
local seq, at, max_high, max_low, day, old
local members, read, exists
local outbox, name

local function entry_at(place)
  return entry_of(log, tomb, text(place))
end

local function id_of(entry)
  return string.sub(entry[2][2], 2, 9)
end

-- What `sent` has for a field: the message, if retention has left it.
local function remembered(field)
  local known = day >= today - 1 and call('HGET', sent[day % 2], field)
    or old >= today - 1 and call('HGET', sent[old % 2], field)
  return known and entry_at(tonumber(known))
end

-- The first message up to which the greatest id is not below `id`, found by going back in growing steps, then by halving:
-- a repetition comes soon. Ids that were the greatest so far when they came are found so; `remembered` has the others.
local function leader(id, high, low)
  local function reaches(place)
    local entry = entry_at(place)
    if not entry then
      return false
    end
    local entry_high, entry_low = unpack_id('>I4I4', entry[2][4] or id_of(entry))
    return entry_high > high or (entry_high == high and entry_low >= low), entry
  end
  local below = tonumber(call('HGET', conv, 'first') or '1') - 1
  local place, step, found = seq, 1
  while place - step > below do
    local yes, entry = reaches(place - step)
    if not yes then
      below = place - step
      break
    end
    place, found, step = place - step, entry, step * 2
  end
  while below + 1 < place do
    local middle = math.floor((below + place) / 2)
    local yes, entry = reaches(middle)
    if yes then
      place, found = middle, entry
    else
      below = middle
    end
  end
  found = found or entry_at(place)
  return found and id_of(found) == id and found
end

local function stored_before(id, high, low, late, field)
  local entry = late and (remembered(' ' .. id) or leader(id, high, low))
  if not entry and field ~= '' then
    entry = remembered(field)
    if entry and tonumber(string.match(entry[1], '-(%d+)$')) <= now - retention then
      entry = nil
    end
  end
  if entry then
    -- Written again, so that whoever waits for replicas waits for the first one, too.
    call('HSET', conv, 'h', pack('>I8I8I4I4I4I4', seq, at, max_high, max_low, day, old))
    return {entry[1], entry[2][2]}
  end
end

local function store(id, high, low, late, mark, field, message)
  seq = seq + 1
  local seq_text, at_text = text(seq), now_text
  if at > now then
    at_text = text(at)
  else
    at = now
  end
  if late then
    call('XADD', log, seq_text .. '-' .. at_text, 'm', message, 'x', pack('>I4I4', max_high, max_low))
  else
    call('XADD', log, seq_text .. '-' .. at_text, 'm', message)
    max_high, max_low = high, low
  end
  local is_first
  if (late or field ~= '') and day < today then
    is_first, day, old = true, today, day
  end
  local head = pack('>I8I8I4I4I4I4', seq, at, max_high, max_low, day, old)
  if read or mark == '' then
    call('HSET', conv, 'h', head)
  elseif mark == 'ab' then
    call('HSET', conv, 'h', head, 'a', seq_text, 'b', seq_text)
  else
    call('HSET', conv, 'h', head, mark, seq_text)
  end
  if read then
    call('HSET', read, mark, seq_text)
  end
  if late then
    call('HSET', sent[day % 2], ' ' .. id, seq_text)
  end
  if field ~= '' then
    call('HSET', sent[day % 2], field, seq_text)
  end
  if is_first then
    call('PEXPIREAT', sent[day % 2], text((day + 2) * retention))
  end
  if outbox then
    call('XADD', outbox, 'MAXLEN', '~', most_waiting, '0-*', 'm', seq_text .. ' ' .. name)
  end
  return seq
end

local key, argument = 3, 3

local function append()
  local mark, field, device = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
  local epoch, epochs
  argument = argument + 4
  if device ~= '' then
    epoch = ARGV[argument - 1]
    argument = argument + 1
    if epoch ~= '-' and epoch ~= '+' then
      epochs = KEYS[key]
      key = key + 1
    end
  end
  local message = ARGV[argument - 1]
  if members then
    if not exists then
      return -1
    end
    local must_be_member = string.sub(mark, 1, 1) == '+'
    mark = string.sub(mark, 2)
    if must_be_member and not call('ZSCORE', members, mark) then
      return -2
    end
  end
  if epochs then
    local known = call('HGET', epochs, device)
    if known and tonumber(epoch) < tonumber(string.match(known, '^%d+')) then
      return -3
    end
  elseif epoch == '-' then
    return -3
  end
  local id = string.sub(message, 2, 9)
  local high, low = unpack_id('>I4I4', id)
  local late = seq > 0 and (high < max_high or (high == max_high and low <= max_low))
  return (late or field ~= '') and stored_before(id, high, low, late, field)
    or store(id, high, low, late, mark, field, message)
end

local answers, answer = {}, 0
while argument <= #ARGV do
  local kind, count = ARGV[argument], tonumber(ARGV[argument + 1])
  conv, log, tomb, sent[0], sent[1] = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], KEYS[key + 4]
  key, argument = key + 5, argument + 2
  if most_waiting then
    outbox = KEYS[key]
    key = key + 1
  end
  local place = answer + 1
  answer = answer + 3
  answers[place], answers[place + 1] = 0, 0
  local inboxes
  if kind == 'g' then
    local head = call('HMGET', conv, 'h', 'mv', 'rv', 'en', 'made')
    seq, at, max_high, max_low, day, old = unpack_head(head[1])
    read, members, exists = KEYS[key], KEYS[key + 1], head[5]
    answer = answer + 1
    answers[place + 2] = head[2] or '0'
    -- Not for a group that nobody made: whoever names one should leave nothing behind.
    answers[place + 3] = exists and routing_version(conv, KEYS[key + 2], KEYS[key + 3], head[3], head[4]) or 0
    key = key + 4
    if most_waiting then
      name = ARGV[argument]
      argument = argument + 1
    end
  else
    seq, at, max_high, max_low, day, old = unpack_head(call('HGET', conv, 'h'))
    read, members = nil, nil
    inboxes, name = key, ARGV[argument]
    key, argument = key + 2 * tonumber(kind), argument + 1
    answers[place + 2] = false
  end
  local last_inbox = key - 2
  local is_taken = false
  for _ = 1, count do
    local outcome = append()
    is_taken = is_taken or type(outcome) == 'table' or outcome > 0
    answer = answer + 1
    answers[answer] = outcome
  end
  answers[place], answers[place + 1] = seq, at
  if is_taken and inboxes then
    local nodes
    for inbox = inboxes, last_inbox, 2 do
      call('HSET', KEYS[inbox], name, text(seq), '#', inbox_version())
      nodes = add_live_entries(nodes or {}, KEYS[inbox + 1], starts)
    end
    answers[place + 2] = nodes or false
  end
end
return answers
