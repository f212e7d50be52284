-- After version.lua and live.lua: notes in a cluster which conversations of users of one shard have changed. First keys:
-- clock, starts; then, a user: inbox, presence, changed. Arguments, a user: how many conversations; of each the name and the
-- rev. Answers, a user: the entries of live connections.

local answers = {}
local at = 1
for key = 3, #KEYS, 3 do
  local last = at + 2 * tonumber(ARGV[at])
  for name = at + 1, last, 2 do
    call('ZADD', KEYS[key + 2], 'GT', ARGV[name + 1], ARGV[name])
  end
  call('HSET', KEYS[key], '#', inbox_version())
  at = last + 1
  answers[#answers + 1] = add_live_entries({}, KEYS[key + 1], KEYS[2])
end
return answers
