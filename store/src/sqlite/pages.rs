//! Reading pages of a conversation, and finding a `seq` by time.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use wire::{Conversation, Message};

use super::{
    failure::{signed, unsigned},
    rows,
};
use crate::{Direction, Head, Page, PageRequest};

/// The most messages in one page.
const PAGE_MAX: usize = 1_000;

/// How far a conversation reaches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) id: i64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) last_at: i64,
    pub(super) members_version: u64,
    pub(super) rev: u64,
}

/// `None` where nothing was ever stored about the conversation.
pub(super) fn extent(
    connection: &Connection,
    conversation: &Conversation,
) -> rusqlite::Result<Option<Extent>> {
    connection
        .prepare_cached(
            "SELECT id, first_seq, last_seq, last_at, members_version, rev FROM conversation WHERE name = ?1",
        )?
        .query_row([conversation.to_string()], |row| {
            Ok(Extent {
                id: row.get(0)?,
                first_seq: unsigned(row, 1)?,
                last_seq: unsigned(row, 2)?,
                last_at: row.get(3)?,
                members_version: unsigned(row, 4)?,
                rev: unsigned(row, 5)?,
            })
        })
        .optional()
}

pub(super) fn head(connection: &Connection, conversation: &Conversation) -> rusqlite::Result<Head> {
    let extent = extent(connection, conversation)?;
    Ok(extent.map_or(Head { last_seq: 0, members_version: 0, last_at: 0, rev: 0 }, |extent| Head {
        last_seq: extent.last_seq,
        members_version: extent.members_version,
        last_at: extent.last_at,
        rev: extent.rev,
    }))
}

pub(super) fn page(connection: &Connection, request: &PageRequest) -> rusqlite::Result<Page> {
    let Some(extent) = extent(connection, &request.conversation)? else {
        return Ok(Page { first_seq: 1, ..Page::default() });
    };
    // The interval that there is: without holes, so that what is left over needs no look-up.
    let first = request.after.saturating_add(1).max(extent.first_seq);
    let last = request.before.saturating_sub(1).min(extent.last_seq);
    let mut messages = Vec::new();
    if first <= last {
        messages = read(connection, request, extent.id, first, last)?;
    }
    let more = match (messages.first(), messages.last()) {
        (Some(oldest), Some(newest)) => oldest.seq > first || newest.seq < last,
        _ => false,
    };
    Ok(Page { messages, more, last_seq: extent.last_seq, first_seq: extent.first_seq, rev: extent.rev })
}

fn read(
    connection: &Connection,
    request: &PageRequest,
    id: i64,
    first: u64,
    last: u64,
) -> rusqlite::Result<Vec<Arc<Message>>> {
    let sql = match request.direction {
        Direction::Forwards => concat!(
            "SELECT ",
            rows::columns!(),
            " FROM message WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT ?4"
        ),
        Direction::Backwards => concat!(
            "SELECT ",
            rows::columns!(),
            " FROM message WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC LIMIT ?4"
        ),
    };
    let limit = request.limit.clamp(1, PAGE_MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params![id, signed(first), signed(last), limit as i64])?;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let message = rows::read(row, &request.conversation)?;
        bytes += message.body.get().len();
        messages.push(Arc::new(message));
        if bytes >= request.max_bytes {
            break;
        }
    }
    if request.direction == Direction::Backwards {
        messages.reverse();
    }
    Ok(messages)
}

/// The last `seq` sent at or before `at`.
pub(super) fn seq_at(connection: &Connection, conversation: &Conversation, at: i64) -> rusqlite::Result<u64> {
    extent(connection, conversation)?.map_or(Ok(0), |extent| last_sent_by(connection, &extent, at))
}

/// The same where the extent is known. `sent_at` never decreases with `seq`, so halving finds it.
pub(super) fn last_sent_by(connection: &Connection, extent: &Extent, at: i64) -> rusqlite::Result<u64> {
    if extent.last_at <= at {
        return Ok(extent.last_seq);
    }
    let mut statement =
        connection.prepare_cached("SELECT sent_at FROM message WHERE conversation = ?1 AND seq = ?2")?;
    // Everything below `low` was sent in time, `high` was not.
    let (mut low, mut high) = (extent.first_seq, extent.last_seq);
    while low < high {
        let middle = low + (high - low) / 2;
        let sent_at: i64 = statement.query_row(params![extent.id, signed(middle)], |row| row.get(0))?;
        if sent_at <= at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low - 1)
}
