-- After live.lua and version.lua: bumps the inboxes of users of one shard, and answers who is connected.
-- Keys, a user: inbox, presence, starts. Arguments, a user: how many conversations; of each the name and the last seq.
-- Answers, a user: the entries of live connections.

local answers = {}
local at = 1
for key = 1, #KEYS, 3 do
  local count = tonumber(ARGV[at])
  for n = 1, count do
    bump(KEYS[key], ARGV[at + 2 * n - 1], tonumber(ARGV[at + 2 * n]))
  end
  at = at + 2 * count + 1
  answers[#answers + 1] = live_entries(KEYS[key + 1], KEYS[key + 2])
end
return answers
