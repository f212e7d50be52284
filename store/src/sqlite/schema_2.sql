-- Version 2: users who may not connect.
CREATE TABLE ban (
    user      TEXT PRIMARY KEY,
    banned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
