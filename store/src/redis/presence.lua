-- After live.lua: who of the users of one shard is connected where.
-- Keys, a user: device, presence, starts.
-- Answers, a user: when they were last seen or nothing, and a flat list: device, entry, device, entry.

local answers = {}
for key = 1, #KEYS, 3 do
  answers[#answers + 1] = {redis.call('HGET', KEYS[key], '#'), live_devices(KEYS[key + 1], KEYS[key + 2])}
end
return answers
