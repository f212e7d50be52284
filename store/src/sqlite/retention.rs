//! [`Retention`] in SQLite: conversations in the order of their ids. What is due is looked for beside the writer, which then
//! only removes it. The file does not shrink: what was freed is used again.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    failure::{signed, unsigned},
    job::{Operation, Weight},
    live::Live,
    pages::{Extent, last_sent_by},
    unit::Unit,
};
use crate::{Extent as Held, Progress, Retention, RetentionPolicy, Space, StoreError, TrimStep};

/// Conversations that one step looks at.
const CONVERSATIONS: usize = 500;
/// Messages that one step removes: while it does, sends wait.
const MESSAGES: u64 = 1_000;

#[async_trait]
impl Retention for SqliteStore {
    async fn trim(&self, policy: RetentionPolicy, from: Progress) -> Result<TrimStep, StoreError> {
        let now = (self.clock)();
        let after = from.place.cast_signed();
        let looked = self.readers.read(move |connection| look(connection, policy, now, after)).await?;
        let messages = if looked.due.is_empty() { 0 } else { self.write(Trim { due: looked.due }).await? };
        let next = looked.next.map(|id| Progress { place: id.cast_unsigned(), cursor: 0 });
        Ok(TrimStep { next, messages, held: looked.held })
    }

    async fn space(&self) -> Result<Vec<Space>, StoreError> {
        let used = self.readers.read(|connection| {
            let number = |of| connection.pragma_query_value(None, of, |row| unsigned(row, 0));
            Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
        });
        Ok(vec![Space { used: used.await?, limit: None }])
    }
}

/// A conversation's id, and the first `seq` that is to stay.
type Due = (i64, u64);

struct Looked {
    due: Vec<Due>,
    /// The id after which the next step goes on.
    next: Option<i64>,
    /// What will be left of the conversations that this step is done with.
    held: Vec<Held>,
}

fn look(connection: &Connection, policy: RetentionPolicy, now: i64, after: i64) -> rusqlite::Result<Looked> {
    let mut statement = connection.prepare_cached(
        "SELECT id, first_seq, last_seq, last_at FROM conversation WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let extents = statement
        .query_map(params![after, CONVERSATIONS as i64], |row| {
            Ok(Extent {
                id: row.get(0)?,
                first_seq: unsigned(row, 1)?,
                last_seq: unsigned(row, 2)?,
                last_at: row.get(3)?,
                members_version: 0,
                rev: 0,
            })
        })?
        .collect::<rusqlite::Result<Vec<Extent>>>()?;
    // What was sent then or before is too old.
    let oldest = now.saturating_sub_unsigned(policy.age_ms);
    let mut left = MESSAGES;
    let (mut due, mut held) = (Vec::new(), Vec::with_capacity(extents.len()));
    for extent in &extents {
        let mut keep_from = extent.first_seq;
        if policy.count > 0 {
            keep_from = keep_from.max((extent.last_seq + 1).saturating_sub(policy.count));
        }
        if policy.age_ms > 0 {
            keep_from = keep_from.max(last_sent_by(connection, extent, oldest)? + 1);
        }
        let bounded = keep_from.min(extent.first_seq + left);
        if bounded > extent.first_seq {
            due.push((extent.id, bounded));
            left -= bounded - extent.first_seq;
        }
        if bounded < keep_from {
            // The rest of it comes with the next step.
            return Ok(Looked { due, next: Some(extent.id - 1), held });
        }
        held.extend(what_is_left(connection, extent, bounded, now)?);
    }
    let next = extents.last().filter(|_| extents.len() == CONVERSATIONS).map(|extent| extent.id);
    Ok(Looked { due, next, held })
}

fn what_is_left(
    connection: &Connection,
    extent: &Extent,
    keep_from: u64,
    now: i64,
) -> rusqlite::Result<Option<Held>> {
    let Some(left) = extent.last_seq.checked_sub(keep_from) else { return Ok(None) };
    let sent_at: i64 = connection
        .prepare_cached("SELECT sent_at FROM message WHERE conversation = ?1 AND seq = ?2")?
        .query_row(params![extent.id, signed(keep_from)], |row| row.get(0))?;
    let age = |at: i64| u64::try_from(now - at).unwrap_or(0);
    Ok(Some(Held { messages: left + 1, oldest_ms: age(sent_at), newest_ms: age(extent.last_at) }))
}

struct Trim {
    due: Vec<Due>,
}

impl Operation for Trim {
    type Written = u64;
    type Answer = u64;

    fn weight(&self) -> Weight {
        Weight { rows: MESSAGES as usize, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<u64> {
        let mut removed = 0;
        for (id, keep_from) in &self.due {
            let bound = params![id, signed(*keep_from)];
            removed += unit
                .connection
                .prepare_cached("DELETE FROM message WHERE conversation = ?1 AND seq < ?2")?
                .execute(bound)? as u64;
            // Cids need no such thing: they are forgotten after a day.
            unit.connection
                .prepare_cached("DELETE FROM late_id WHERE conversation = ?1 AND seq < ?2")?
                .execute(bound)?;
            unit.connection
                .prepare_cached("DELETE FROM change WHERE conversation = ?1 AND seq < ?2")?
                .execute(bound)?;
            unit.connection
                .prepare_cached("UPDATE conversation SET first_seq = ?2 WHERE id = ?1 AND first_seq < ?2")?
                .execute(bound)?;
        }
        Ok(removed)
    }

    fn settle(self, removed: u64, _: &mut Live) -> u64 {
        removed
    }
}
