//! What was stored before by cid, within 24 hours; and how old cids are removed.

use std::sync::Arc;

use rusqlite::{Connection, params};
use wire::Message;

use super::{
    failure::{signed, unsigned},
    rows,
    unit::Unit,
};
use crate::Append;

/// How long a cid is remembered, milliseconds (CONTRACT §3): 24 hours.
const CID_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// Remembered cids that are looked at for each one that is added. With two, the whole table is passed in the time in
/// which half of it is added, so it holds at most about one and a half days.
const SWEPT_PER_CID: usize = 2;
/// A step of the sweep begins when so many are due, and looks at no more than [`SWEEP_MAX`].
const SWEEP_MIN: usize = 128;
const SWEEP_MAX: usize = 1_024;

/// The message that the sender sent with this cid within its life; if there is none, the cid is noted for `seq`.
pub(super) fn find_or_note(
    unit: &mut Unit<'_>,
    append: &Append,
    cid: &str,
    conversation: i64,
    seq: u64,
) -> rusqlite::Result<Option<Arc<Message>>> {
    let sender = append.from.as_str();
    let new = unit
        .connection
        .prepare_cached(
            "INSERT INTO cid (conversation, sender, cid, seq, used_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![conversation, sender, cid, signed(seq), unit.now])?;
    if new == 1 {
        unit.cids += 1;
        return Ok(None);
    }
    let (first, used_at) = unit
        .connection
        .prepare_cached("SELECT seq, used_at FROM cid WHERE conversation = ?1 AND sender = ?2 AND cid = ?3")?
        .query_row(params![conversation, sender, cid], |row| {
            Ok((unsigned(row, 0)?, row.get::<_, i64>(1)?))
        })?;
    if used_at > unit.now - CID_LIFE_MS
        && let Some(message) = rows::message(unit.connection, &append.conversation, conversation, first)?
    {
        return Ok(Some(message));
    }
    unit.connection
        .prepare_cached(
            "UPDATE cid SET seq = ?4, used_at = ?5 WHERE conversation = ?1 AND sender = ?2 AND cid = ?3",
        )?
        .execute(params![conversation, sender, cid, signed(seq), unit.now])?;
    Ok(None)
}

/// Walks through the remembered cids, round and round, and removes those whose life is over. An index by time would be
/// one more tree to write for each message.
#[derive(Default)]
pub(super) struct Sweep {
    /// The last key that was looked at.
    at: Option<(i64, String, String)>,
    due: usize,
}

impl Sweep {
    /// A bounded step, in proportion to what was `added`.
    pub(super) fn step(&mut self, connection: &Connection, now: i64, added: usize) -> rusqlite::Result<()> {
        self.due += added * SWEPT_PER_CID;
        if self.due < SWEEP_MIN {
            return Ok(());
        }
        let limit = self.due.min(SWEEP_MAX);
        self.due = 0;
        let (conversation, sender, cid) = self.at.take().unwrap_or_default();
        let keys = connection
            .prepare_cached(
                "SELECT conversation, sender, cid, used_at FROM cid
                 WHERE (conversation, sender, cid) > (?1, ?2, ?3) ORDER BY conversation, sender, cid LIMIT ?4",
            )?
            .query_map(params![conversation, sender, cid, limit as i64], |row| {
                Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get::<_, i64>(3)?))
            })?
            .collect::<rusqlite::Result<Vec<((i64, String, String), i64)>>>()?;
        let mut remove = connection
            .prepare_cached("DELETE FROM cid WHERE conversation = ?1 AND sender = ?2 AND cid = ?3")?;
        for ((conversation, sender, cid), used_at) in &keys {
            if *used_at <= now - CID_LIFE_MS {
                remove.execute(params![conversation, sender, cid])?;
            }
        }
        if keys.len() == limit {
            self.at = keys.into_iter().next_back().map(|(key, _)| key);
        }
        Ok(())
    }

    /// After a failed transaction: begins anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
