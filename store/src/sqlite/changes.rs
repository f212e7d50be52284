//! [`Changes`] in SQLite: the log and what reads it; `marks.rs` and `recall.rs` write.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use wire::{Change, Conversation, MessageId, User};

use super::{
    SqliteStore,
    conversations::Row,
    failure::{parsed, signed, unsigned},
    live::Live,
    marks::MarkBatch,
    messages, pages,
    recall::RecallOne,
    unit::Unit,
};
use crate::{
    CHANGES_KEPT, ChangeList, Changes, Logged, LoggedChange, MarkRead, MarkRefusal, Marked, Recall,
    RecallDone, RecallRefusal, Routing, StoreError,
};

#[async_trait]
impl Changes for SqliteStore {
    async fn mark_read(&self, batch: Vec<MarkRead>) -> Result<Vec<Result<Marked, MarkRefusal>>, StoreError> {
        self.write(MarkBatch(batch)).await
    }

    async fn recall(&self, recall: Recall) -> Result<Result<RecallDone, RecallRefusal>, StoreError> {
        self.write(RecallOne(recall)).await
    }

    async fn changes(&self, after: Vec<(Conversation, u64)>) -> Result<Vec<ChangeList>, StoreError> {
        self.readers
            .read(move |connection| after.iter().map(|(of, rev)| list(connection, of, *rev)).collect())
            .await
    }

    async fn changed_since(&self, user: &User, rev: u64) -> Result<Vec<(Conversation, u64)>, StoreError> {
        let user = user.clone();
        self.readers.read(move |connection| changed_since(connection, &user, rev)).await
    }
}

/// What is logged.
pub(super) enum Entry<'a> {
    Recalled(u64),
    Read(&'a User),
}

/// A change that is written but not yet durable.
pub(super) struct WrittenChange {
    rev: u64,
    previous_rev: u64,
    members_version: u64,
}

impl WrittenChange {
    /// Nothing new: the end of the log.
    pub(super) fn end(row: &Row) -> Self {
        Self { rev: row.rev, previous_rev: row.rev, members_version: row.members_version }
    }

    /// It is durable: bumps the inboxes of two users, and answers who is to be told.
    pub(super) fn settle(self, conversation: &Conversation, live: &mut Live) -> Logged {
        let routing = match conversation {
            Conversation::Group(group) => Routing::Group { version: live.interest.version_of(group) },
            Conversation::Direct(first, second) => {
                let distinct = if first == second { 1 } else { 2 };
                Routing::Direct(live.bump([first, second].into_iter().take(distinct)))
            }
        };
        let Self { rev, previous_rev, members_version } = self;
        Logged { rev, previous_rev, members_version, routing }
    }
}

/// Puts a change at the end of the log; the caller saves the row.
pub(super) fn log(unit: &Unit<'_>, row: &mut Row, entry: &Entry<'_>) -> rusqlite::Result<WrittenChange> {
    let previous_rev = row.rev;
    // Milliseconds to microseconds. A clock that was set back does not set the log back.
    row.rev = (unit.now.max(0).unsigned_abs() * 1_000).max(previous_rev + 1);
    let (seq, user) = match entry {
        Entry::Recalled(seq) => (Some(signed(*seq)), None),
        Entry::Read(user) => (None, Some(user.as_str())),
    };
    let replaced = match user {
        Some(user) => unit
            .connection
            .prepare_cached("DELETE FROM change WHERE conversation = ?1 AND user = ?2")?
            .execute(params![row.id, user])?,
        None => 0,
    };
    unit.connection
        .prepare_cached("INSERT INTO change (conversation, rev, seq, user) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![row.id, signed(row.rev), seq, user])?;
    if replaced == 0 {
        unit.connection
            .prepare_cached(
                "DELETE FROM change WHERE conversation = ?1 AND rev <=
                     (SELECT rev FROM change WHERE conversation = ?1 ORDER BY rev DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![row.id, CHANGES_KEPT as i64])?;
    }
    Ok(WrittenChange { rev: row.rev, previous_rev, members_version: row.members_version })
}

fn list(connection: &Connection, conversation: &Conversation, after: u64) -> rusqlite::Result<ChangeList> {
    let Some(extent) = pages::extent(connection, conversation)? else { return Ok(ChangeList::default()) };
    if extent.rev <= after {
        return Ok(ChangeList { rev: extent.rev, changes: Vec::new() });
    }
    let mut statement = connection.prepare_cached(
        "SELECT change.rev, change.seq, message.id, change.user
         FROM change LEFT JOIN message ON message.conversation = change.conversation AND message.seq = change.seq
         WHERE change.conversation = ?1 AND change.rev > ?2 ORDER BY change.rev",
    )?;
    let mut rows = statement.query(params![extent.id, signed(after)])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let rev = unsigned(row, 0)?;
        let change = if row.get_ref(3)?.as_str_or_null()?.is_some() {
            let user: User = parsed(row, 3)?;
            let read_seq = messages::read_seq(connection, &user, conversation)?;
            Change::Read { user, read_seq }
        } else if row.get_ref(2)?.as_i64_or_null()?.is_some() {
            Change::Recalled { seq: unsigned(row, 1)?, id: MessageId(unsigned(row, 2)?) }
        } else {
            // Retention has taken the message meanwhile.
            continue;
        };
        changes.push(LoggedChange { rev, change });
    }
    Ok(ChangeList { rev: extent.rev, changes })
}

fn changed_since(
    connection: &Connection,
    user: &User,
    rev: u64,
) -> rusqlite::Result<Vec<(Conversation, u64)>> {
    // Groups have a log, too, and names that begin with another letter.
    connection
        .prepare_cached(
            "SELECT name, rev FROM inbox JOIN conversation ON id = inbox.conversation
             WHERE user = ?1 AND rev > ?2 AND name LIKE 'u:%'",
        )?
        .query_map(params![user.as_str(), signed(rev)], |row| Ok((parsed(row, 0)?, unsigned(row, 1)?)))?
        .collect()
}
