//! [`Devices`] in SQLite: connections and their epochs, routing.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use wire::{Device, Group, NodeRef, Room, User};

use super::{
    SqliteStore,
    cursors::{self, MoveCursors},
    failure::{signed, unsigned},
    forget,
    job::{Operation, Weight},
    live::Live,
    outbox,
    unit::Unit,
};
use crate::{
    Connect, Connected, CursorMove, Cursors, DeviceKey, DeviceLimits, Devices, Disconnect, Evicted, Held,
    InterestChange, Moved, RoomCount, RoomHolder, StoreError, UserPresence,
};

#[async_trait]
impl Devices for SqliteStore {
    async fn enter(&self, node: &NodeRef) -> Result<(), StoreError> {
        self.live.write().enter(node);
        Ok(())
    }

    async fn connect(&self, batch: Vec<Connect>) -> Result<Vec<Connected>, StoreError> {
        self.write(ConnectBatch(batch)).await
    }

    async fn disconnect(&self, batch: Vec<Disconnect>) -> Result<Vec<Vec<NodeRef>>, StoreError> {
        self.write(DisconnectBatch(batch)).await
    }

    async fn generation(&self) -> Result<u64, StoreError> {
        Ok(self.generation)
    }

    async fn assert_presence(&self, node: &NodeRef, batch: Vec<Held>) -> Result<Vec<bool>, StoreError> {
        self.write(AssertBatch { node: node.clone(), batch }).await
    }

    async fn cursors(&self, key: &DeviceKey) -> Result<Cursors, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| cursors::of(connection, &key)).await
    }

    async fn move_cursors(&self, batch: Vec<CursorMove>) -> Result<Vec<Moved>, StoreError> {
        self.write(MoveCursors(batch)).await
    }

    async fn set_interest(&self, node: &NodeRef, changes: Vec<InterestChange>) -> Result<(), StoreError> {
        self.live.write().interest.change(node, changes);
        Ok(())
    }

    async fn routing(&self, groups: Vec<Group>) -> Result<Vec<(u64, Vec<NodeRef>)>, StoreError> {
        let live = self.live.read();
        Ok(groups.iter().map(|group| live.interest.routing(group)).collect())
    }

    async fn set_room_members(
        &self,
        node: &NodeRef,
        counts: Vec<RoomCount>,
    ) -> Result<Vec<Vec<RoomHolder>>, StoreError> {
        let mut live = self.live.write();
        Ok(counts.into_iter().map(|count| live.rooms.set(node, count)).collect())
    }

    async fn room_members(&self, rooms: Vec<Room>) -> Result<Vec<Vec<RoomHolder>>, StoreError> {
        let live = self.live.read();
        Ok(rooms.iter().map(|room| live.rooms.holders(room)).collect())
    }

    async fn presence(&self, users: Vec<User>) -> Result<Vec<UserPresence>, StoreError> {
        let live = self.live.clone();
        self.readers
            .read(move |connection| {
                let seen = users
                    .iter()
                    .map(|user| last_seen_at(connection, user))
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                let live = live.read();
                let present = users.iter().zip(seen).map(|(user, last_seen_at)| UserPresence {
                    devices: live.presence.devices(user),
                    last_seen_at,
                });
                Ok(present.collect())
            })
            .await
    }
}

/// Epochs begin at the time in microseconds, so that a device that was forgotten gets a greater one when it comes back.
const EPOCHS_PER_MS: u64 = 1_000;

struct ConnectBatch(Vec<Connect>);

/// What is durable of a connection; who held the device until now is found when it takes effect.
struct Registered {
    epoch: u64,
    born_at: i64,
    known: bool,
    away_since: i64,
    now: i64,
    forgotten: Vec<Device>,
}

impl Operation for ConnectBatch {
    type Written = Vec<Registered>;
    type Answer = Vec<Connected>;

    fn weight(&self) -> Weight {
        Weight { rows: 2 * self.0.len(), bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Vec<Registered>> {
        self.0.iter().map(|connect| register(unit, &connect.key, connect.limits)).collect()
    }

    fn settle(self, written: Vec<Registered>, live: &mut Live) -> Vec<Connected> {
        self.0
            .iter()
            .zip(written)
            .map(|(connect, Registered { epoch, born_at, known, away_since, now, forgotten })| {
                let Connect { key, node, .. } = connect;
                let previous = live.presence.connect(key, node, epoch, now);
                let evicted = forgotten.into_iter().filter_map(|device| {
                    let (node, epoch) = live.presence.evict(&key.user, &device)?;
                    Some(Evicted { device, node, epoch })
                });
                Connected {
                    epoch,
                    born_at,
                    known,
                    since_at: now,
                    previous,
                    away_since,
                    evicted: evicted.collect(),
                    watchers: live.watching.nodes(&key.user),
                }
            })
            .collect()
    }
}

fn register(unit: &mut Unit<'_>, key: &DeviceKey, limits: DeviceLimits) -> rusqlite::Result<Registered> {
    let (user, device) = (key.user.as_str(), key.device.as_str());
    let stored = unit
        .connection
        .prepare_cached("SELECT epoch, born_at, away_since FROM device WHERE user = ?1 AND device = ?2")?
        .query_row([user, device], |row| {
            Ok((unsigned(row, 0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let known = stored.is_some();
    let (last_epoch, born_at, away_since) = match stored {
        Some(stored) => stored,
        None => (0, born_at(unit, user)?, unit.now),
    };
    let epoch = (last_epoch + 1).max(unit.now.unsigned_abs() * EPOCHS_PER_MS);
    set_epoch(unit, key, epoch, born_at, away_since)?;
    see(unit, &key.user)?;
    let forgotten = forget::make_room(unit, key, limits)?;
    outbox::note_presence(unit, &key.user)?;
    Ok(Registered { epoch, born_at, known, away_since, now: unit.now, forgotten })
}

/// `born_at` and `away_since` are for a device that is not known.
fn set_epoch(
    unit: &mut Unit<'_>,
    key: &DeviceKey,
    epoch: u64,
    born_at: i64,
    away_since: i64,
) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached(
            "INSERT INTO device (user, device, epoch, born_at, away_since, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET epoch = excluded.epoch, seen_at = excluded.seen_at",
        )?
        .execute(params![
            key.user.as_str(),
            key.device.as_str(),
            signed(epoch),
            born_at,
            away_since,
            unit.now
        ])?;
    unit.set_epoch(key, epoch);
    Ok(())
}

/// A user's first device owns everything that is kept, a further one what comes from now on.
fn born_at(unit: &mut Unit<'_>, user: &str) -> rusqlite::Result<i64> {
    // Not whether there is one now: they may have been forgotten.
    let first = !unit.connection.prepare_cached("SELECT 1 FROM seen WHERE user = ?1")?.exists([user])?;
    if first {
        return Ok(0);
    }
    unit.births = true;
    Ok(unit.now)
}

struct AssertBatch {
    node: NodeRef,
    batch: Vec<Held>,
}

impl Operation for AssertBatch {
    type Written = Vec<bool>;
    type Answer = Vec<bool>;

    fn weight(&self) -> Weight {
        Weight { rows: self.batch.len(), bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Vec<bool>> {
        self.batch
            .iter()
            .map(|held| {
                let stored = unit.epoch(&held.key)?;
                if stored < held.epoch {
                    set_epoch(unit, &held.key, held.epoch, held.born_at, held.since_at)?;
                }
                if stored <= held.epoch && !unit.live.read().presence.holds(&held.key, held.epoch) {
                    outbox::note_presence(unit, &held.key.user)?;
                }
                Ok(stored <= held.epoch)
            })
            .collect()
    }

    fn settle(self, newest: Vec<bool>, live: &mut Live) -> Vec<bool> {
        for (held, _) in self.batch.iter().zip(&newest).filter(|(_, newest)| **newest) {
            live.presence.hold(&held.key, &self.node, held.epoch, held.since_at);
        }
        newest
    }
}

struct DisconnectBatch(Vec<Disconnect>);

impl Operation for DisconnectBatch {
    type Written = ();
    type Answer = Vec<Vec<NodeRef>>;

    fn weight(&self) -> Weight {
        Weight { rows: self.0.len(), bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<()> {
        for Disconnect { key, epoch, received } in &self.0 {
            // Its epoch was answered after it took effect, so memory knows the connection if it still stands.
            let stands = unit.live.read().presence.holds(key, *epoch);
            if stands {
                see(unit, &key.user)?;
                outbox::note_presence(unit, &key.user)?;
                unit.connection
                    .prepare_cached("UPDATE device SET seen_at = ?3 WHERE user = ?1 AND device = ?2")?
                    .execute(params![key.user.as_str(), key.device.as_str(), unit.now])?;
            }
            if stands && *received {
                leave(unit, key, *epoch)?;
            }
        }
        Ok(())
    }

    fn settle(self, (): (), live: &mut Live) -> Vec<Vec<NodeRef>> {
        let end = |Disconnect { key, epoch, .. }: &Disconnect| {
            live.presence.disconnect(key, *epoch);
            live.watching.nodes(&key.user)
        };
        self.0.iter().map(end).collect()
    }
}

/// The device was given everything until now.
fn leave(unit: &Unit<'_>, key: &DeviceKey, epoch: u64) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached("UPDATE device SET away_since = ?4 WHERE user = ?1 AND device = ?2 AND epoch = ?3")?
        .execute(params![key.user.as_str(), key.device.as_str(), signed(epoch), unit.now])
        .map(drop)
}

fn see(unit: &Unit<'_>, user: &User) -> rusqlite::Result<()> {
    unit.connection
        .prepare_cached(
            "INSERT INTO seen (user, last_seen_at) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET last_seen_at = max(last_seen_at, excluded.last_seen_at)",
        )?
        .execute(params![user.as_str(), unit.now])
        .map(drop)
}

fn last_seen_at(connection: &Connection, user: &User) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT last_seen_at FROM seen WHERE user = ?1")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()
}
