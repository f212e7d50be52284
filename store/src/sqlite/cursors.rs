//! What each device has confirmed.

use rusqlite::{Connection, params};

use super::{
    failure::{parsed, signed, unsigned},
    job::{Operation, Weight},
    live::Live,
    unit::Unit,
};
use crate::{CursorMove, Cursors, DeviceKey, Moved};

pub(super) struct MoveCursors(pub(super) Vec<CursorMove>);

impl Operation for MoveCursors {
    type Written = Vec<Moved>;
    type Answer = Vec<Moved>;

    fn weight(&self) -> Weight {
        Weight { rows: self.0.iter().map(|moved| moved.cursors.len()).sum(), bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Vec<Moved>> {
        let mut moved = Vec::with_capacity(self.0.len());
        for CursorMove { key, epoch, cursors } in &self.0 {
            let known = unit.epoch(key)?;
            // One that was forgotten would leave cursors behind that nobody removes.
            if known == 0 || *epoch < known {
                moved.push(if known == 0 { Moved::Unknown } else { Moved::Replaced });
                continue;
            }
            for (conversation, seq) in cursors {
                let row = unit.row_or_new(conversation)?;
                unit.connection
                    .prepare_cached(
                        "INSERT INTO cursor (user, device, conversation, seq) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq",
                    )?
                    .execute(params![key.user.as_str(), key.device.as_str(), row.id, signed(*seq)])?;
            }
            moved.push(Moved::Done);
        }
        Ok(moved)
    }

    fn settle(self, moved: Vec<Moved>, _: &mut Live) -> Vec<Moved> {
        moved
    }
}

pub(super) fn of(connection: &Connection, key: &DeviceKey) -> rusqlite::Result<Cursors> {
    connection
        .prepare_cached(
            "SELECT name, seq FROM cursor JOIN conversation ON id = cursor.conversation
             WHERE user = ?1 AND device = ?2",
        )?
        .query_map([key.user.as_str(), key.device.as_str()], |row| Ok((parsed(row, 0)?, unsigned(row, 1)?)))?
        .collect()
}
