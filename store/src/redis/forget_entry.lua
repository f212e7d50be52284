-- After version.lua: takes a conversation out of a user's inbox, or, with a second argument, puts the group back. First keys: clock,
-- starts; then: inbox, changed. Arguments: the conversation, 1 where it is to be put back. Answers a list of one.

if ARGV[2] == '1' then
  call('HSET', KEYS[3], ARGV[1], '1', '#', inbox_version())
else
  call('HDEL', KEYS[3], ARGV[1])
  call('ZREM', KEYS[4], ARGV[1])
  call('HSET', KEYS[3], '#', inbox_version())
end
return {1}
