-- After changes.lua: moves read marks forwards. Further arguments, an item: the user, the field of their mark in a direct
-- conversation (a, b or ab), the seq, how many members a group may have for it to be logged.
-- Answers, an item: where the mark stands, whether it moved, the rev (0: not logged) and the one before it, whom to tell; or -2: no member.

local function mark_read()
  local user, field, seq, most = ARGV[argument], ARGV[argument + 1], tonumber(ARGV[argument + 2]), tonumber(ARGV[argument + 3])
  argument = argument + 4
  seq = math.min(seq, (unpack_head(call('HGET', conv, 'h'))))
  local known, is_logged
  if is_group then
    local left = string.match(call('HGET', spans_of, user) or '', '%-(%d*)$')
    if not left then
      return -2
    end
    if left ~= '' then
      seq = math.min(seq, tonumber(left) - 1)
    end
    known = call('HGET', reads, user)
    is_logged = left == '' and call('ZCARD', members) <= most
  else
    known = call('HGET', conv, string.sub(field, 1, 1))
    is_logged = true
  end
  known = tonumber(known or '0')
  if seq <= known then
    -- With where it stands in the log, for whoever could not finish telling.
    return {text(known), 0, call('ZSCORE', changes, 'u' .. user) or '0', '0', false}
  end
  local seq_text = text(seq)
  if is_group then
    call('HSET', reads, user, seq_text)
  elseif field == 'ab' then
    call('HSET', conv, 'a', seq_text, 'b', seq_text)
  else
    call('HSET', conv, field, seq_text)
  end
  if not is_logged then
    return {seq_text, 1, '0', '0', false}
  end
  local rev, previous = log_change('u' .. user)
  return {seq_text, 1, rev, previous, routing(rev)}
end

local answers = {}
while next_item() do
  answers[#answers + 1] = mark_read()
end
return answers
