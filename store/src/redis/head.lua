-- Shared by scripts that look at conversations: what the field h of `conv` holds.

-- Last seq, its sent_at, the greatest id in two halves, the last two days with something in `sent`. Ids need 64 bits, and a
-- number here has 53.
local function unpack_head(head)
  if not head then
    return 0, 0, 0, 0, 0, 0
  end
  return struct.unpack('>I8I8I4I4I4I4', head)
end
