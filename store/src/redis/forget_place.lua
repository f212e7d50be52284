-- Forgets what a conversation's partition has of a user, save their messages.
-- Keys: conv, read, member, span, change. Arguments: the user, the fields of their read mark in a direct conversation (a, b or ab),
-- nothing for a group. Answers a list of one: 1, or 0 where the user is a member.

local call = redis.call
local user, marks = ARGV[1], ARGV[2]
if marks == '' then
  if call('ZSCORE', KEYS[3], user) then
    return {0}
  end
  call('HDEL', KEYS[2], user)
  call('HDEL', KEYS[4], user)
else
  for mark in string.gmatch(marks, '.') do
    call('HDEL', KEYS[1], mark)
  end
end
call('ZREM', KEYS[5], 'u' .. user)
return {1}
