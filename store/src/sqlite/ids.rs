//! What was stored before by id: exact, without an index of all ids.
//!
//! Most ids are greater than all before in their conversation. Call these *leaders*: along `seq`, the greatest id so far
//! changes at leaders only and never decreases, so halving finds a leader by its id. The few others are in `late_id`.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use wire::{Conversation, Message};

use super::{
    conversations::Row,
    failure::{signed, unsigned},
    rows,
    unit::Unit,
};

/// The message with this id.
pub(super) fn find(
    unit: &Unit<'_>,
    conversation: &Conversation,
    row: &Row,
    id: u64,
) -> rusqlite::Result<Option<Arc<Message>>> {
    if row.last_seq == 0 || id > row.max_id {
        return Ok(None);
    }
    let seq = match late(unit.connection, row.id, id)? {
        Some(seq) => Some(seq),
        None => leader(unit.connection, row, id)?,
    };
    match seq {
        Some(seq) => rows::message(unit.connection, conversation, row.id, seq),
        None => Ok(None),
    }
}

/// A message with this id is about to be written at `seq`.
pub(super) fn note(unit: &Unit<'_>, row: &Row, id: u64, seq: u64) -> rusqlite::Result<()> {
    if id > row.max_id {
        return Ok(());
    }
    unit.connection
        .prepare_cached("INSERT INTO late_id (conversation, id, seq) VALUES (?1, ?2, ?3)")?
        .execute(params![row.id, signed(id), signed(seq)])
        .map(drop)
}

fn late(connection: &Connection, conversation: i64, id: u64) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT seq FROM late_id WHERE conversation = ?1 AND id = ?2")?
        .query_row(params![conversation, signed(id)], |row| unsigned(row, 0))
        .optional()
}

/// The first `seq` at which the greatest id so far is not below `id`; it is the leader looked for, or there is none.
fn leader(connection: &Connection, row: &Row, id: u64) -> rusqlite::Result<Option<u64>> {
    let mut statement =
        connection.prepare_cached("SELECT id + behind FROM message WHERE conversation = ?1 AND seq = ?2")?;
    // What retention has taken counts as below.
    let mut greatest_at = |seq: u64| -> rusqlite::Result<u64> {
        Ok(statement.query_row(params![row.id, signed(seq)], |row| unsigned(row, 0)).optional()?.unwrap_or(0))
    };
    // At `high` it is not below; at `low` it is, or there is no such `seq`. Steps that double, because a late id is late by
    // little as a rule.
    let (mut low, mut high, mut step) = (0, row.last_seq, 1);
    while high > step {
        let probe = high - step;
        if greatest_at(probe)? < id {
            low = probe;
            break;
        }
        high = probe;
        step *= 2;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if greatest_at(middle)? < id {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok((greatest_at(high)? == id).then_some(high))
}
