-- Version 4: when a device last connected or disconnected. Of those that are known already, the user's time is the best guess:
-- none of them is taken for unused too early.
ALTER TABLE device ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
UPDATE device SET seen_at = COALESCE((SELECT last_seen_at FROM seen WHERE seen.user = device.user), 0);
