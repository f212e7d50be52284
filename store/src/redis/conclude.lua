-- After live.lua and version.lua. After a change of members: bumps the inboxes of those whom it concerns, and answers where they are.
-- Keys, a user: inbox, presence, starts. First argument: the group's conversation; then, a user: 1 where it is to be bumped.
-- Answers, a user: the entries of live connections.

local answers = {}
for key = 1, #KEYS, 3 do
  local inbox = KEYS[key]
  local entries = {}
  if ARGV[(key + 2) / 3 + 1] == '1' then
    redis.call('HSET', inbox, ARGV[1], '1', '#', next_version(redis.call('HGET', inbox, '#')))
    entries = live_entries(KEYS[key + 1], KEYS[key + 2])
  elseif redis.call('HGET', inbox, ARGV[1]) == 'p' then
    redis.call('HSET', inbox, ARGV[1], '1')
  end
  answers[#answers + 1] = entries
end
return answers
