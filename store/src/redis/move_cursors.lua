-- Moves cursors of devices of one shard forwards.
-- Keys, a device: device, cursor. Arguments, a device: its name, its epoch, how many cursors; of each the conversation and
-- the seq. Answers for each device: done, replaced or unknown.

local at, moved = 1, {}
for key = 1, #KEYS, 2 do
  local known = redis.call('HGET', KEYS[key], ARGV[at])
  local count = tonumber(ARGV[at + 2])
  -- Not of a device that was forgotten: nobody would remove them.
  local what = known and 'replaced' or 'unknown'
  if known and tonumber(string.match(known, '^%d+')) <= tonumber(ARGV[at + 1]) then
    what = 'done'
    for n = at + 3, at + 1 + 2 * count, 2 do
      local before = redis.call('HGET', KEYS[key + 1], ARGV[n])
      if not before or tonumber(before) < tonumber(ARGV[n + 1]) then
        redis.call('HSET', KEYS[key + 1], ARGV[n], ARGV[n + 1])
      end
    end
  end
  moved[#moved + 1] = what
  at = at + 3 + 2 * count
end
return moved
