//! Who consumes outboxes, and what they confirm.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    failure::{signed, unsigned},
    job::{Operation, Weight},
    live::Live,
    unit::Unit,
};
use crate::{Confirm, Consumer, Told, outbox::Wanted};

/// What is to be written down.
pub(super) fn wanted(connection: &Connection) -> rusqlite::Result<Wanted> {
    let consumers = connection
        .prepare_cached("SELECT name, messages, presence, most FROM consumer")?
        .query_map([], |row| {
            let name: String = row.get(0)?;
            let (messages, presence, most) = (row.get(1)?, row.get(2)?, unsigned(row, 3)?);
            Ok(Consumer { name: name.into(), messages, presence, most })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Wanted::by(consumers, 1))
}

pub(super) struct Register(pub(super) Consumer);

impl Operation for Register {
    type Written = Wanted;
    type Answer = ();

    fn weight(&self) -> Weight {
        Weight { rows: 1, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Wanted> {
        let Consumer { name, messages, presence, most } = &self.0;
        unit.connection
            .prepare_cached(
                "INSERT INTO consumer (name, messages, presence, most, term, place)
                 VALUES (?1, ?2, ?3, ?4, 0, COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0))
                 ON CONFLICT DO UPDATE SET messages = excluded.messages, presence = excluded.presence, most = excluded.most",
            )?
            .execute(params![&**name, messages, presence, signed(*most)])?;
        wanted(unit.connection)
    }

    fn settle(self, wanted: Wanted, live: &mut Live) {
        live.wanted = wanted;
    }
}

pub(super) struct Unregister(pub(super) String);

impl Operation for Unregister {
    type Written = Wanted;
    type Answer = ();

    fn weight(&self) -> Weight {
        Weight { rows: 1, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Wanted> {
        let (connection, name) = (unit.connection, &self.0);
        connection.prepare_cached("DELETE FROM consumer WHERE name = ?1")?.execute([name])?;
        connection.prepare_cached("DELETE FROM told WHERE consumer = ?1")?.execute([name])?;
        remove_confirmed(connection)?;
        wanted(connection)
    }

    fn settle(self, wanted: Wanted, live: &mut Live) {
        live.wanted = wanted;
    }
}

/// What all consumers have been given.
fn remove_confirmed(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM outbox WHERE place <= COALESCE((SELECT MIN(place) FROM consumer), 9223372036854775807)",
        )?
        .execute([])
        .map(drop)
}

pub(super) struct Claim {
    pub(super) name: String,
    /// Of the partitions, of which there is one.
    pub(super) count: usize,
}

impl Operation for Claim {
    type Written = u64;
    type Answer = Vec<u64>;

    fn weight(&self) -> Weight {
        Weight { rows: 1, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<u64> {
        let connection = unit.connection;
        connection
            // By the time, so that one who was forgotten and comes back gets no term that it has had.
            .prepare_cached("UPDATE consumer SET term = MAX(term + 1, ?2) WHERE name = ?1")?
            .execute(params![self.name, unit.now.saturating_mul(1_000)])?;
        let term = connection
            .prepare_cached("SELECT term FROM consumer WHERE name = ?1")?
            .query_row([&self.name], |row| unsigned(row, 0))
            .optional()?;
        Ok(term.unwrap_or(0))
    }

    fn settle(self, term: u64, _: &mut Live) -> Vec<u64> {
        vec![term; self.count]
    }
}

pub(super) struct ConfirmBatch {
    pub(super) name: String,
    pub(super) confirms: Vec<Confirm>,
}

impl Operation for ConfirmBatch {
    type Written = Vec<bool>;
    type Answer = Vec<bool>;

    fn weight(&self) -> Weight {
        let rows = self.confirms.iter().map(|each| 2 + each.told.len()).sum();
        Weight { rows, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Vec<bool>> {
        self.confirms.iter().map(|each| confirm(unit.connection, &self.name, each)).collect()
    }

    fn settle(self, answers: Vec<bool>, _: &mut Live) -> Vec<bool> {
        answers
    }
}

fn confirm(connection: &Connection, name: &str, confirm: &Confirm) -> rusqlite::Result<bool> {
    let counts = connection
        .prepare_cached("UPDATE consumer SET place = MAX(place, ?3) WHERE name = ?1 AND term = ?2")?
        .execute(params![name, signed(confirm.term), signed(confirm.place)])?;
    if counts == 0 {
        return Ok(false);
    }
    if confirm.place > 0 {
        remove_confirmed(connection)?;
    }
    for (user, told) in &confirm.told {
        match told {
            Some(told) => connection
                .prepare_cached("INSERT OR REPLACE INTO told (consumer, user, online) VALUES (?1, ?2, ?3)")?
                .execute(params![name, user.as_str(), *told == Told::Online])?,
            None => connection
                .prepare_cached("DELETE FROM told WHERE consumer = ?1 AND user = ?2")?
                .execute([name, user.as_str()])?,
        };
    }
    Ok(true)
}
