//! Recalling a message.

use rusqlite::{OptionalExtension, params};
use wire::{MessageId, User};

use super::{
    changes::{self, Entry, WrittenChange},
    failure::{parsed, signed, unsigned},
    job::{Operation, Weight},
    live::Live,
    unit::Unit,
};
use crate::{DeviceKey, Recall, RecallDone, RecallRefusal};

pub(super) struct RecallOne(pub(super) Recall);

/// A tombstone that is written but not yet durable.
pub(super) struct Written {
    id: MessageId,
    change: WrittenChange,
}

impl Operation for RecallOne {
    type Written = Result<Written, RecallRefusal>;
    type Answer = Result<RecallDone, RecallRefusal>;

    fn weight(&self) -> Weight {
        Weight { rows: 3, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Self::Written> {
        write(unit, &self.0)
    }

    fn settle(self, written: Self::Written, live: &mut Live) -> Self::Answer {
        written.map(|Written { id, change }| RecallDone {
            id,
            logged: change.settle(&self.0.conversation, live),
        })
    }
}

struct Found {
    id: MessageId,
    sender: User,
    sent_at: i64,
    is_recalled: bool,
}

fn write(unit: &mut Unit<'_>, recall: &Recall) -> rusqlite::Result<Result<Written, RecallRefusal>> {
    if let Some(device) = &recall.author.device {
        let key = DeviceKey { user: recall.user.clone(), device: device.clone() };
        if recall.author.epoch < unit.epoch(&key)? {
            return Ok(Err(RecallRefusal::OldEpoch));
        }
    }
    let Some(mut row) = unit.row(&recall.conversation)? else { return Ok(Err(RecallRefusal::NotFound)) };
    let found = unit
        .connection
        .prepare_cached(
            "SELECT id, sender, sent_at, recalled_at FROM message WHERE conversation = ?1 AND seq = ?2",
        )?
        .query_row(params![row.id, signed(recall.seq)], |row| {
            Ok(Found {
                id: MessageId(unsigned(row, 0)?),
                sender: parsed(row, 1)?,
                sent_at: row.get(2)?,
                is_recalled: row.get::<_, Option<i64>>(3)?.is_some(),
            })
        })
        .optional()?;
    let Some(found) = found else { return Ok(Err(RecallRefusal::NotFound)) };
    if found.sender != recall.user {
        return Ok(Err(RecallRefusal::NotSender));
    }
    if found.is_recalled {
        return Ok(Ok(Written { id: found.id, change: WrittenChange::end(&row) }));
    }
    if found.sent_at.saturating_add_unsigned(recall.window_ms) <= unit.now {
        return Ok(Err(RecallRefusal::TooLate));
    }
    unit.connection
        .prepare_cached(
            "UPDATE message SET body = 'null', recalled_at = ?3 WHERE conversation = ?1 AND seq = ?2",
        )?
        .execute(params![row.id, signed(recall.seq), unit.now])?;
    let change = changes::log(unit, &mut row, &Entry::Recalled(recall.seq))?;
    unit.set_row(&recall.conversation, row);
    Ok(Ok(Written { id: found.id, change }))
}
