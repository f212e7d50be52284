-- After spans.lua: adds or removes members. Arguments: add, join or remove; for join how many members there may be; then the
-- users.
-- Answers nothing where there is no such group; else the members version, how many members there are, which of the users
-- were changed, counted from 0, and why one could not join: closed, full or nothing.

if not exists then
  return false
end
local verb = ARGV[1]
local change = verb == 'remove' and remove or add
local refusal = false
if verb == 'join' and not call('ZSCORE', members, ARGV[3]) then
  if call('HGET', conv, 'open') ~= '1' then
    refusal = 'closed'
  elseif call('ZCARD', members) >= tonumber(ARGV[2]) then
    refusal = 'full'
  end
end
local changed = {}
if not refusal then
  for n = 3, #ARGV do
    if change(ARGV[n]) then
      changed[#changed + 1] = n - 3
    end
  end
end
return {members_version(#changed > 0), call('ZCARD', members), changed, refusal}
