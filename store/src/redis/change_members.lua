-- After spans.lua: adds or removes members. Arguments: add or remove, then the users.
-- Answers nothing where there is no such group; else the members version, how many members there are, and which of the
-- users were changed, counted from 0.

if not exists then
  return false
end
local change = ARGV[1] == 'add' and add or remove
local changed = {}
for n = 2, #ARGV do
  if change(ARGV[n]) then
    changed[#changed + 1] = n - 2
  end
end
return {members_version(#changed > 0), call('ZCARD', members), changed}
