-- Shared by scripts that read single messages. A recalled message is no entry of the stream any more, since those cannot be
-- changed: `tomb` has what is left of it.

-- What `tomb` holds of a message, in the form of an entry: when it was sent, the greatest id up to it, the message without body.
local function tombstone(tomb, place)
  local left = redis.call('HGET', tomb, place)
  if left then
    local at = string.format('%.0f', (struct.unpack('>I8', left)))
    return {place .. '-' .. at, {'m', string.sub(left, 17), 'x', string.sub(left, 9, 16)}}
  end
end

-- The message at a place, or what is left of it; nothing where retention has taken it.
local function entry_of(log, tomb, place)
  return redis.call('XRANGE', log, place, place)[1] or tombstone(tomb, place)
end
