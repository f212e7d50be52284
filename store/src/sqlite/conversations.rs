//! What the writer remembers of conversations, and how it is written back.

use rusqlite::{Connection, OptionalExtension, params};
use wire::{Conversation, User};

use super::failure::{signed, unsigned};

/// A conversation's row, as the transaction under way sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) last_seq: u64,
    pub(super) last_at: i64,
    pub(super) max_id: u64,
    pub(super) first_read: u64,
    pub(super) second_read: u64,
    pub(super) members_version: u64,
    /// The last place of its change log.
    pub(super) rev: u64,
    /// There is a group of this name now.
    pub(super) is_group: bool,
    /// It is known that it stands in the inboxes of its two users.
    pub(super) in_inboxes: bool,
    /// Differs from what the table holds.
    pub(super) dirty: bool,
}

pub(super) fn find(connection: &Connection, conversation: &Conversation) -> rusqlite::Result<Option<Row>> {
    let users: Vec<&str> = conversation.users().map(User::as_str).collect();
    connection
        .prepare_cached(
            "SELECT id, last_seq, last_at, max_id, first_read, second_read, members_version, rev,
                    EXISTS (SELECT 1 FROM chat_group WHERE conversation = id),
                    (SELECT count(*) FROM inbox WHERE conversation = id AND user IN (?2, ?3))
             FROM conversation WHERE name = ?1",
        )?
        .query_row(params![conversation.to_string(), users.first(), users.get(1)], |row| {
            Ok(Row {
                id: row.get(0)?,
                last_seq: unsigned(row, 1)?,
                last_at: row.get(2)?,
                max_id: unsigned(row, 3)?,
                first_read: unsigned(row, 4)?,
                second_read: unsigned(row, 5)?,
                members_version: unsigned(row, 6)?,
                rev: unsigned(row, 7)?,
                is_group: row.get(8)?,
                in_inboxes: unsigned(row, 9)? == users.len() as u64,
                dirty: false,
            })
        })
        .optional()
}

pub(super) fn create(connection: &Connection, conversation: &Conversation) -> rusqlite::Result<Row> {
    connection
        .prepare_cached("INSERT INTO conversation (name) VALUES (?1)")?
        .execute([conversation.to_string()])?;
    Ok(Row { id: connection.last_insert_rowid(), ..Row::default() })
}

pub(super) fn save(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE conversation SET last_seq = ?2, last_at = ?3, max_id = ?4, first_read = ?5, second_read = ?6,
                    members_version = ?7, rev = ?8
             WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            signed(row.last_seq),
            row.last_at,
            signed(row.max_id),
            signed(row.first_read),
            signed(row.second_read),
            signed(row.members_version),
            signed(row.rev),
        ])?;
    Ok(())
}
