//! Read marks.

use rusqlite::{OptionalExtension, params};
use wire::{Conversation, User};

use super::{
    changes::{self, Entry, WrittenChange},
    conversations::Row,
    failure::{signed, unsigned},
    job::{Operation, Weight},
    live::Live,
    unit::Unit,
};
use crate::{MarkRead, MarkRefusal, Marked};

pub(super) struct MarkBatch(pub(super) Vec<MarkRead>);

/// A mark that is written but not yet durable.
pub(super) struct Written {
    read_seq: u64,
    moved: bool,
    change: Option<WrittenChange>,
}

impl Operation for MarkBatch {
    type Written = Vec<Result<Written, MarkRefusal>>;
    type Answer = Vec<Result<Marked, MarkRefusal>>;

    fn weight(&self) -> Weight {
        Weight { rows: 2 * self.0.len(), bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Self::Written> {
        self.0.iter().map(|mark| write(unit, mark)).collect()
    }

    fn settle(self, written: Self::Written, live: &mut Live) -> Self::Answer {
        let settled = |(mark, outcome): (&MarkRead, Result<Written, MarkRefusal>)| {
            outcome.map(|Written { read_seq, moved, change }| Marked {
                read_seq,
                moved,
                logged: change.map(|change| change.settle(&mark.conversation, live)),
            })
        };
        self.0.iter().zip(written).map(settled).collect()
    }
}

fn write(unit: &mut Unit<'_>, mark: &MarkRead) -> rusqlite::Result<Result<Written, MarkRefusal>> {
    let row = unit.row(&mark.conversation)?;
    match &mark.conversation {
        Conversation::Direct(first, second) => {
            let unmoved = |read_seq| Ok(Ok(Written { read_seq, moved: false, change: None }));
            let Some(mut row) = row else { return unmoved(0) };
            let known = if *first == mark.user { row.first_read } else { row.second_read };
            let read_seq = mark.seq.min(row.last_seq);
            if read_seq <= known {
                return unmoved(known);
            }
            if *first == mark.user {
                row.first_read = read_seq;
            }
            if *second == mark.user {
                row.second_read = read_seq;
            }
            let change = changes::log(unit, &mut row, &Entry::Read(&mark.user))?;
            unit.set_row(&mark.conversation, row);
            Ok(Ok(Written { read_seq, moved: true, change: Some(change) }))
        }
        Conversation::Group(_) => match row {
            Some(row) => write_in_group(unit, mark, row),
            None => Ok(Err(MarkRefusal::NotMember)),
        },
    }
}

fn write_in_group(
    unit: &mut Unit<'_>,
    mark: &MarkRead,
    mut row: Row,
) -> rusqlite::Result<Result<Written, MarkRefusal>> {
    let Some(left_seq) = last_left_seq(unit, row.id, &mark.user)? else {
        return Ok(Err(MarkRefusal::NotMember));
    };
    let last_seq = left_seq.map_or(row.last_seq, |left| left.saturating_sub(1));
    let read_seq = mark.seq.min(last_seq);
    let known = unit
        .connection
        .prepare_cached("SELECT seq FROM read_mark WHERE conversation = ?1 AND user = ?2")?
        .query_row(params![row.id, mark.user.as_str()], |row| unsigned(row, 0))
        .optional()?
        .unwrap_or(0);
    if read_seq <= known {
        return Ok(Ok(Written { read_seq: known, moved: false, change: None }));
    }
    unit.connection
        .prepare_cached(
            "INSERT INTO read_mark (conversation, user, seq) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET seq = excluded.seq",
        )?
        .execute(params![row.id, mark.user.as_str(), signed(read_seq)])?;
    let mut change = None;
    if left_seq.is_none() && members(unit, row.id)? <= mark.most_members {
        change = Some(changes::log(unit, &mut row, &Entry::Read(&mark.user))?);
        unit.set_row(&mark.conversation, row);
    }
    Ok(Ok(Written { read_seq, moved: true, change }))
}

/// When the user left last, `Some(None)` while they are a member; `None` where they never were one.
#[allow(clippy::option_option, reason = "a row that may be missing, with a column that may be")]
fn last_left_seq(unit: &Unit<'_>, group: i64, user: &User) -> rusqlite::Result<Option<Option<u64>>> {
    unit.connection
        .prepare_cached(
            "SELECT left_seq FROM member WHERE conversation = ?1 AND user = ?2
             ORDER BY joined_seq DESC LIMIT 1",
        )?
        .query_row(params![group, user.as_str()], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.map(i64::unsigned_abs))
        })
        .optional()
}

fn members(unit: &Unit<'_>, group: i64) -> rusqlite::Result<u64> {
    let members = unit
        .connection
        .prepare_cached("SELECT members FROM chat_group WHERE conversation = ?1")?
        .query_row([group], |row| unsigned(row, 0))
        .optional()?;
    Ok(members.unwrap_or(0))
}
