-- After tomb.lua and changes.lua: turns messages into tombstones. Further arguments, an item: the seq, how old the message may
-- be, milliseconds. Who asks has been checked: that does not change.
-- Answers, an item: the rev and the one before it, whom to tell; or -1: no message, -4: too late.

local now = math.floor(now_us / 1000)

local function recall()
  local place, window = ARGV[argument], tonumber(ARGV[argument + 1])
  argument = argument + 2
  local entry = call('XRANGE', log, place, place)[1]
  if not entry then
    if not tombstone(tomb, place) then
      return -1
    end
    local rev = call('HGET', conv, 'cr') or '0'
    return {rev, rev, routing(rev)}
  end
  local sent_at = tonumber(string.match(entry[1], '-(%d+)$'))
  if now - sent_at >= window then
    return -4
  end
  local message = entry[2][2]
  local body = struct.unpack('>I4', message, 10)
  local parts = string.byte(message, 14)
  -- The bit 128 says that when it was recalled stands in place of the body; see record.rs.
  local left = string.sub(message, 1, 13) .. string.char(parts + 128) .. string.sub(message, 15, body) .. text(now)
  local greatest = entry[2][4] or string.sub(message, 2, 9)
  call('HSET', tomb, place, struct.pack('>I8', sent_at) .. greatest .. left)
  call('XDEL', log, entry[1])
  local rev, previous = log_change('m' .. place)
  return {rev, previous, routing(rev)}
end

local answers = {}
while next_item() do
  answers[#answers + 1] = recall()
end
return answers
