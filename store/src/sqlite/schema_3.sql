-- Version 3: changes to what was sent, and since when a device has been away.

-- When the sender took it back: then `body` is `null`.
ALTER TABLE message ADD COLUMN recalled_at INTEGER;

-- The last place of the conversation's change log.
ALTER TABLE conversation ADD COLUMN rev INTEGER NOT NULL DEFAULT 0;

-- The change log: a message that was recalled (`seq`), or the last reading of a user (`user`).
CREATE TABLE change (
    conversation INTEGER NOT NULL REFERENCES conversation (id),
    rev          INTEGER NOT NULL,
    seq          INTEGER,
    user         TEXT,
    PRIMARY KEY (conversation, rev)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX change_read ON change (conversation, user) WHERE user IS NOT NULL;

-- Until when the device was given every change. 0: before there was a change log.
ALTER TABLE device ADD COLUMN away_since INTEGER NOT NULL DEFAULT 0;
