-- Shared by scripts that change who is connected: writes down that a user's connections changed.

local function tell(outbox, most, user)
  redis.call('XADD', outbox, 'MAXLEN', '~', most, '0-*', 'u', user)
end
