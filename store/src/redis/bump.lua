-- After version.lua and live.lua: bumps the inboxes of users of one shard, and answers who is connected.
-- First keys: clock, starts; then, a user: inbox, presence. Arguments, a user: how many conversations; of each the name and
-- the last seq. Answers, a user: the entries of live connections.

local answers = {}
local at = 1
for key = 3, #KEYS, 2 do
  local inbox = KEYS[key]
  local last = at + 2 * tonumber(ARGV[at])
  for name = at + 1, last, 2 do
    local known = call('HGET', inbox, ARGV[name])
    -- Another node's bump may have been faster.
    if not known or tonumber(known) < tonumber(ARGV[name + 1]) then
      call('HSET', inbox, ARGV[name], ARGV[name + 1])
    end
  end
  call('HSET', inbox, '#', inbox_version())
  at = last + 1
  answers[#answers + 1] = add_live_entries({}, KEYS[key + 1], KEYS[2])
end
return answers
