-- Version 5: what consumers beside the cluster have not been given yet.

-- Who consumes what, whose confirmations count, and up to where it has everything.
CREATE TABLE consumer (
    name     TEXT PRIMARY KEY,
    messages INTEGER NOT NULL,
    presence INTEGER NOT NULL,
    most     INTEGER NOT NULL,
    term     INTEGER NOT NULL,
    place    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A message (`conversation` and `seq`), or a user whose connections changed. Places are never given twice, also when the table
-- is empty.
CREATE TABLE outbox (
    place        INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER,
    seq          INTEGER,
    user         TEXT
) STRICT;

-- Users whom a consumer was told to be online, and offline ones with connections on lost nodes.
CREATE TABLE told (
    consumer TEXT    NOT NULL,
    user     TEXT    NOT NULL,
    online   INTEGER NOT NULL,
    PRIMARY KEY (consumer, user)
) STRICT, WITHOUT ROWID;
