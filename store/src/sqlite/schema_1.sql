-- Version 1. Times are milliseconds since the Unix epoch. Names stand as text: a number for each would save bytes and
-- cost a look-up for each message read.

-- One row: versions below `reserved` may have been given out, so a new start begins there.
CREATE TABLE version (reserved INTEGER NOT NULL) STRICT;
INSERT INTO version (reserved) VALUES (0);

CREATE TABLE conversation (
    id              INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    last_seq        INTEGER NOT NULL DEFAULT 0,
    last_at         INTEGER NOT NULL DEFAULT 0,
    -- The greatest message id: a greater one cannot be a repetition, so most appends need no look-up.
    max_id          INTEGER NOT NULL DEFAULT 0,
    first_seq       INTEGER NOT NULL DEFAULT 1,
    -- The read marks of a direct conversation's two users, in the order of its name. Those of groups: `read_mark`.
    first_read      INTEGER NOT NULL DEFAULT 0,
    second_read     INTEGER NOT NULL DEFAULT 0,
    -- Of a group. Here and not in `chat_group`, because it goes on growing when a group is deleted and made again.
    members_version INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE message (
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    sent_at      INTEGER NOT NULL,
    sender       TEXT    NOT NULL,
    device       TEXT,
    session      INTEGER NOT NULL,
    cid          TEXT,
    -- NULL: `text`.
    kind         TEXT,
    -- NULL: what the conversation and the sender say. Else the destination as JSON.
    destination  TEXT,
    body         TEXT    NOT NULL,
    -- By how much the greatest id up to here exceeds this one: 0 for most, which takes no byte.
    behind       INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

-- Messages whose id was not the greatest of their conversation when they came. The others are found by halving (see
-- `ids.rs`): an index of all ids would be a page more to write for most messages.
CREATE TABLE late_id (
    conversation INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    PRIMARY KEY (conversation, id)
) STRICT, WITHOUT ROWID;

-- Which cids were used lately.
CREATE TABLE cid (
    conversation INTEGER NOT NULL,
    sender       TEXT    NOT NULL,
    cid          TEXT    NOT NULL,
    seq          INTEGER NOT NULL,
    used_at      INTEGER NOT NULL,
    PRIMARY KEY (conversation, sender, cid)
) STRICT, WITHOUT ROWID;

-- How far members have read in groups.
CREATE TABLE read_mark (
    conversation INTEGER NOT NULL,
    user         TEXT    NOT NULL,
    seq          INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
) STRICT, WITHOUT ROWID;

-- A user's direct conversations, and the groups in which they are or were.
CREATE TABLE inbox (
    user         TEXT    NOT NULL,
    conversation INTEGER NOT NULL REFERENCES conversation (id),
    PRIMARY KEY (user, conversation)
) STRICT, WITHOUT ROWID;

CREATE TABLE chat_group (
    conversation INTEGER PRIMARY KEY REFERENCES conversation (id),
    open         INTEGER NOT NULL,
    name         TEXT,
    owner        TEXT,
    created_at   INTEGER NOT NULL,
    members      INTEGER NOT NULL
) STRICT;

-- Messages with joined_seq <= seq < left_seq are the member's; left_seq is NULL while they are one.
CREATE TABLE member (
    conversation INTEGER NOT NULL REFERENCES conversation (id),
    user         TEXT    NOT NULL,
    joined_seq   INTEGER NOT NULL,
    left_seq     INTEGER,
    PRIMARY KEY (conversation, user, joined_seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX member_now ON member (conversation, user) WHERE left_seq IS NULL;

CREATE TABLE device (
    user    TEXT    NOT NULL,
    device  TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    born_at INTEGER NOT NULL,
    PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;

-- When a connection of the user last began or ended.
CREATE TABLE seen (
    user         TEXT PRIMARY KEY,
    last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each device has confirmed.
CREATE TABLE cursor (
    user         TEXT    NOT NULL,
    device       TEXT    NOT NULL,
    conversation INTEGER NOT NULL REFERENCES conversation (id),
    seq          INTEGER NOT NULL,
    PRIMARY KEY (user, device, conversation)
) STRICT, WITHOUT ROWID;
