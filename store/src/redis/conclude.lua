-- After version.lua and live.lua. After a change of members: bumps the inboxes of those whom it concerns, and answers where
-- they are. First keys: clock, starts; then, a user: inbox, presence. First argument: the group's conversation; then, a
-- user: 1 where it is to be bumped. Answers, a user: the entries of live connections.

local answers = {}
for key = 3, #KEYS, 2 do
  local inbox = KEYS[key]
  local entries = {}
  if ARGV[(key + 1) / 2] == '1' then
    call('HSET', inbox, ARGV[1], '1', '#', inbox_version())
    add_live_entries(entries, KEYS[key + 1], KEYS[2])
  elseif call('HGET', inbox, ARGV[1]) == 'p' then
    call('HSET', inbox, ARGV[1], '1')
  end
  answers[#answers + 1] = entries
end
return answers
