-- After spans.lua: removes members, and with the last one the settings. Argument: how many members at most.
-- Answers nothing where there is no such group; else the members version, how many members are left, and who was removed.

if not exists then
  return false
end
local removed = call('ZRANGE', members, 0, tonumber(ARGV[1]) - 1)
for _, user in ipairs(removed) do
  remove(user)
end
local left = call('ZCARD', members)
if left == 0 then
  call('HDEL', conv, 'made', 'open', 'name', 'owner')
end
return {members_version(true), left, removed}
