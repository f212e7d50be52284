//! [`Outbox`] in SQLite: one partition, a table.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use wire::User;

use super::{
    SqliteStore,
    consumers::{Claim, ConfirmBatch, Register, Unregister},
    failure::{parsed, signed, unsigned},
    unit::Unit,
};
use crate::{Confirm, Consumer, Outbox, OutboxEntry, OutboxPage, Pointer, StoreError, Told, ToldPage};

/// Every so many entries it is looked whether there are too many.
const TRIM_EVERY: u64 = 64;

/// Users that one page of those told holds.
const TOLD: i64 = 500;

/// Writes down a message that was stored, where somebody consumes.
pub(super) fn note_message(unit: &Unit<'_>, conversation: i64, seq: u64) -> rusqlite::Result<()> {
    if unit.wanted.messages == 0 {
        return Ok(());
    }
    unit.connection
        .prepare_cached("INSERT INTO outbox (conversation, seq) VALUES (?1, ?2)")?
        .execute(params![conversation, signed(seq)])?;
    trim(unit, unit.wanted.messages)
}

/// Writes down that the connections of a user changed, where somebody consumes.
pub(super) fn note_presence(unit: &Unit<'_>, user: &User) -> rusqlite::Result<()> {
    if unit.wanted.presence == 0 {
        return Ok(());
    }
    unit.connection
        .prepare_cached("INSERT INTO outbox (user) VALUES (?1)")?
        .execute(params![user.as_str()])?;
    trim(unit, unit.wanted.presence)
}

fn trim(unit: &Unit<'_>, most: u64) -> rusqlite::Result<()> {
    let place = unit.connection.last_insert_rowid().unsigned_abs();
    if place.is_multiple_of(TRIM_EVERY) && place > most {
        unit.connection
            .prepare_cached("DELETE FROM outbox WHERE place <= ?1")?
            .execute(params![signed(place - most)])?;
    }
    Ok(())
}

#[async_trait]
impl Outbox for SqliteStore {
    async fn register(&self, consumer: &Consumer) -> Result<(), StoreError> {
        self.write(Register(consumer.clone())).await
    }

    async fn unregister(&self, name: &str) -> Result<(), StoreError> {
        self.write(Unregister(name.to_owned())).await
    }

    /// One process writes: it knows.
    async fn see_consumers(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn claim(&self, name: &str, partitions: &[u16]) -> Result<Vec<u64>, StoreError> {
        self.write(Claim { name: name.to_owned(), count: partitions.len() }).await
    }

    async fn waiting(
        &self,
        name: &str,
        partitions: &[u16],
        limit: usize,
    ) -> Result<Vec<OutboxPage>, StoreError> {
        if !partitions.contains(&0) {
            return Ok(Vec::new());
        }
        let name = name.to_owned();
        let page = self.readers.read(move |connection| waiting(connection, &name, limit)).await?;
        Ok(page.into_iter().collect())
    }

    async fn confirm(&self, name: &str, confirms: Vec<Confirm>) -> Result<Vec<bool>, StoreError> {
        self.write(ConfirmBatch { name: name.to_owned(), confirms }).await
    }

    async fn told(&self, name: &str, users: &[User]) -> Result<Vec<Option<Told>>, StoreError> {
        let (name, users) = (name.to_owned(), users.to_vec());
        self.readers
            .read(move |connection| {
                let mut online =
                    connection.prepare_cached("SELECT online FROM told WHERE consumer = ?1 AND user = ?2")?;
                let mut of =
                    |user: &User| online.query_row([&*name, user.as_str()], |row| told(row, 0)).optional();
                users.iter().map(&mut of).collect()
            })
            .await
    }

    /// In the order of names; `from` is the last one of the page before.
    async fn told_page(&self, name: &str, partition: u16, from: &str) -> Result<ToldPage, StoreError> {
        if partition != 0 {
            return Ok(ToldPage::default());
        }
        let (name, from) = (name.to_owned(), from.to_owned());
        self.readers
            .read(move |connection| {
                let users = connection
                    .prepare_cached(
                        "SELECT user, online FROM told WHERE consumer = ?1 AND user > ?3 ORDER BY user LIMIT ?2",
                    )?
                    .query_map(params![name, TOLD, from], |row| Ok((parsed(row, 0)?, told(row, 1)?)))?
                    .collect::<rusqlite::Result<Vec<(User, Told)>>>()?;
                let is_full = users.len() as i64 == TOLD;
                let next = users.last().filter(|_| is_full).map(|(user, _)| user.to_string());
                Ok(ToldPage { users, next })
            })
            .await
    }
}

fn told(row: &Row<'_>, column: usize) -> rusqlite::Result<Told> {
    Ok(if row.get(column)? { Told::Online } else { Told::Lost })
}

fn waiting(connection: &Connection, name: &str, limit: usize) -> rusqlite::Result<Option<OutboxPage>> {
    let confirmed = connection
        .prepare_cached("SELECT place FROM consumer WHERE name = ?1")?
        .query_row([name], |row| unsigned(row, 0))
        .optional()?;
    let Some(confirmed) = confirmed else { return Ok(None) };
    let entries = connection
        .prepare_cached(
            "SELECT place, user, name, seq FROM outbox LEFT JOIN conversation ON conversation.id = outbox.conversation
             WHERE place > ?1 ORDER BY place LIMIT ?2",
        )?
        .query_map(params![signed(confirmed), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            let place = unsigned(row, 0)?;
            let pointer = match row.get_ref(1)?.as_str_or_null()? {
                Some(_) => Pointer::Presence(parsed(row, 1)?),
                None => Pointer::Message { conversation: parsed(row, 2)?, seq: unsigned(row, 3)? },
            };
            Ok(OutboxEntry { place, pointer })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let Some(first) = entries.first().map(|entry| entry.place) else { return Ok(None) };
    let last: u64 = connection
        .prepare_cached("SELECT COALESCE(MAX(place), 0) FROM outbox")?
        .query_row([], |row| unsigned(row, 0))?;
    Ok(Some(OutboxPage { partition: 0, entries, waiting: last + 1 - first, dropped: first - confirmed - 1 }))
}
