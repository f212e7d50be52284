//! [`Messages`] in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use wire::{Conversation, User};

use super::{
    SqliteStore,
    append::AppendBatch,
    failure::{parsed, unsigned},
    pages,
};
use crate::{Append, AppendRefusal, Appended, Head, Inbox, Messages, Page, PageRequest, StoreError};

#[async_trait]
impl Messages for SqliteStore {
    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        self.write(AppendBatch(batch)).await
    }

    async fn pages(&self, requests: Vec<PageRequest>) -> Result<Vec<Page>, StoreError> {
        self.readers
            .read(move |connection| requests.iter().map(|request| pages::page(connection, request)).collect())
            .await
    }

    async fn heads(&self, conversations: Vec<Conversation>) -> Result<Vec<Head>, StoreError> {
        self.readers
            .read(move |connection| conversations.iter().map(|of| pages::head(connection, of)).collect())
            .await
    }

    async fn seqs_at(&self, at: i64, conversations: Vec<Conversation>) -> Result<Vec<u64>, StoreError> {
        self.readers
            .read(move |connection| {
                conversations.iter().map(|of| pages::seq_at(connection, of, at)).collect()
            })
            .await
    }

    async fn sent_within(&self, window_ms: u64, conversation: &Conversation) -> Result<u64, StoreError> {
        let before = (self.clock)().saturating_sub_unsigned(window_ms);
        let conversation = conversation.clone();
        self.readers
            .read(move |connection| {
                let last_seq = pages::head(connection, &conversation)?.last_seq;
                Ok(last_seq - pages::seq_at(connection, &conversation, before)?)
            })
            .await
    }

    async fn inbox(&self, user: &User) -> Result<Inbox, StoreError> {
        // The version first: what changes meanwhile is then seen again, never missed.
        let version = self.live.read().inboxes.get(user);
        let user = user.clone();
        self.readers.read(move |connection| inbox(connection, &user, version)).await
    }

    async fn inbox_versions(&self, users: Vec<User>) -> Result<Vec<u64>, StoreError> {
        let live = self.live.read();
        Ok(users.iter().map(|user| live.inboxes.get(user)).collect())
    }

    async fn inbox_sizes(&self, users: Vec<User>) -> Result<Vec<u64>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut count = connection.prepare_cached("SELECT count(*) FROM inbox WHERE user = ?1")?;
                users.iter().map(|user| count.query_row([user.as_str()], |row| unsigned(row, 0))).collect()
            })
            .await
    }

    async fn read_seqs(&self, of: Vec<(User, Conversation)>) -> Result<Vec<u64>, StoreError> {
        self.readers
            .read(move |connection| {
                of.iter().map(|(user, conversation)| read_seq(connection, user, conversation)).collect()
            })
            .await
    }
}

fn inbox(connection: &Connection, user: &User, version: u64) -> rusqlite::Result<Inbox> {
    let mut statement = connection.prepare_cached(
        "SELECT name, last_seq FROM inbox JOIN conversation ON id = inbox.conversation WHERE user = ?1",
    )?;
    let mut rows = statement.query([user.as_str()])?;
    let mut inbox = Inbox { version, ..Inbox::default() };
    while let Some(row) = rows.next()? {
        match parsed(row, 0)? {
            Conversation::Group(group) => inbox.groups.push(group),
            direct @ Conversation::Direct(..) => inbox.direct.push((direct, unsigned(row, 1)?)),
        }
    }
    Ok(inbox)
}

pub(super) fn read_seq(
    connection: &Connection,
    user: &User,
    conversation: &Conversation,
) -> rusqlite::Result<u64> {
    let name = conversation.to_string();
    let seq = match conversation {
        Conversation::Direct(first, second) => connection
            .prepare_cached("SELECT first_read, second_read FROM conversation WHERE name = ?1")?
            .query_row([name], |row| match () {
                () if first == user => unsigned(row, 0),
                () if second == user => unsigned(row, 1),
                () => Ok(0),
            })
            .optional()?,
        Conversation::Group(_) => connection
            .prepare_cached(
                "SELECT seq FROM read_mark
                 WHERE conversation = (SELECT id FROM conversation WHERE name = ?1) AND user = ?2",
            )?
            .query_row(params![name, user.as_str()], |row| unsigned(row, 0))
            .optional()?,
    };
    Ok(seq.unwrap_or(0))
}
