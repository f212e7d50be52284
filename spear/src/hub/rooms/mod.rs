//! Rooms: who is in them here, and which other nodes hold members.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Rooms`]: all rooms with a member here, and what the store and the other nodes are told |
//! | `local.rs` | [`LocalRoom`]: one of them |
//!
//! Nothing of a room is stored but how many members each node holds, and a message asks nobody for it: a node with members
//! keeps in memory where the others are. It learns that three ways:
//!
//! - when it begins to hold a room it writes that down and is answered who else does, in one step of the store, and tells
//!   them: of two nodes that begin at once, at least one sees the other;
//! - whoever begins or ends to hold a room, or whose count has changed, tells the others, gathered for a second;
//! - each sweep reads all local rooms again, so a lost hint heals, and a store that has forgotten this node is noticed.

mod local;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use conversation::Announcer;
use dashmap::{DashMap, Entry};
use parking_lot::Mutex;
use socket::Frame;
use store::{RoomCount, RoomHolder, Store, StoreError};
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use wire::{NodeRef, Payload, Room, RoomCounts, RoomMessageHint};

use super::{
    Hub,
    assertion::{CHUNK, PAUSE},
};
use crate::connection::{Connection, RoomRefused};
use local::{Handed, Other};

pub(crate) use local::LocalRoom;

/// How long changes of counts are gathered: so old a count that others are told may be.
const GATHERED_FOR: Duration = Duration::from_secs(1);

/// The rooms with a member on this node; bounded by its connections and the rooms that each may be in.
pub(super) struct Rooms {
    node: NodeRef,
    store: Arc<dyn Store>,
    local: DashMap<Room, Arc<LocalRoom>>,
    /// Whose count has changed since it was told; bounded by `local` and what left it within the second.
    changed: Mutex<HashSet<Room>>,
    /// Held across the store's calls, so that they are seen in the order they happened. Off the message path.
    telling: tokio::sync::Mutex<()>,
    /// The number of the last counts that were told.
    number: AtomicU64,
    /// Counts the hints about other nodes.
    heard: AtomicU64,
}

/// Tells counts that have changed, until `stop`.
pub(crate) async fn run(hub: Arc<Hub>, announcer: Announcer, stop: CancellationToken) {
    let mut ticks = time::interval(GATHERED_FOR);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = hub.rooms.tell_changed(&announcer).await {
            tracing::warn!(%error, "the members of rooms cannot be written down; it is tried again");
        }
    }
}

impl Hub {
    /// Puts a connection into a room, which it may be in already, and in `most` rooms at most. It gets what is sent on this
    /// node from now on; what is sent on others, once the room is announced.
    ///
    /// # Errors
    /// What the connection says: then it is not in the room.
    pub(crate) fn enter_room(
        &self,
        connection: &Arc<Connection>,
        room: Room,
        most: usize,
    ) -> Result<Arc<LocalRoom>, RoomRefused> {
        self.rooms.enter(connection, room, most)
    }

    /// Makes sure that other nodes know that this one holds the room; where they cannot be told, takes the connection out
    /// again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn announce_room(
        &self,
        connection: &Arc<Connection>,
        room: &Arc<LocalRoom>,
        announcer: &Announcer,
    ) -> Result<(), StoreError> {
        let registered = self.rooms.register(room, announcer).await;
        if registered.is_err() {
            self.leave_room(connection, room.name());
        }
        registered
    }

    /// Takes a connection out of a room; `None` where it was not in it.
    pub(crate) fn leave_room(&self, connection: &Arc<Connection>, room: &Room) -> Option<Arc<LocalRoom>> {
        let room = connection.leave_room(room)?;
        self.rooms.leave(connection, &room);
        Some(room)
    }

    /// How many rooms have a member here.
    pub(crate) fn room_count(&self) -> usize {
        self.rooms.local.len()
    }

    pub(super) fn room_message(&self, hint: &RoomMessageHint) {
        let Some(room) = self.rooms.existing(&hint.room) else { return };
        let Some(frame) = super::frame("message", &hint.json) else { return };
        let Handed { deliveries, missed } = room.hand(&frame, hint.origin_session);
        if deliveries > 0 {
            self.counters.delivered(deliveries, hint.sent_at);
        }
        self.counters.missed(missed);
    }

    pub(super) fn room_signal(&self, room: &Room, frame: &Frame, origin_session: u64) {
        if let Some(room) = self.rooms.existing(room) {
            let handed = room.hand(frame, origin_session);
            self.counters.missed(handed.missed);
        }
    }
}

impl Rooms {
    pub(super) fn new(node: NodeRef, store: Arc<dyn Store>) -> Self {
        Self {
            node,
            store,
            local: DashMap::new(),
            changed: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            number: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        }
    }

    fn existing(&self, room: &Room) -> Option<Arc<LocalRoom>> {
        self.local.get(room).map(|entry| entry.clone())
    }

    fn enter(
        &self,
        connection: &Arc<Connection>,
        name: Room,
        most: usize,
    ) -> Result<Arc<LocalRoom>, RoomRefused> {
        let room = {
            // Under the entry's lock: an unused room is removed under it too.
            let make = || Arc::new(LocalRoom::new(name.clone()));
            let entry = self.local.entry(name.clone()).or_insert_with(make);
            entry.value().insert(connection);
            entry.clone()
        };
        // After the insertion: a connection that ends takes itself out of what it knows, or is refused here.
        if let Err(refused) = connection.enter_room(&room, most) {
            room.remove(connection);
            self.forget_if_unused(&room);
            return Err(refused);
        }
        self.changed.lock().insert(name);
        Ok(room)
    }

    /// The connection does not name the room any more.
    pub(super) fn leave(&self, connection: &Connection, room: &LocalRoom) {
        room.remove(connection);
        self.changed.lock().insert(room.name().clone());
    }

    fn forget_if_unused(&self, room: &LocalRoom) {
        if let Entry::Occupied(entry) = self.local.entry(room.name().clone())
            && entry.get().is_unused()
        {
            entry.remove();
        }
    }

    /// The nodes that hold members; this one among them.
    pub(super) fn nodes(&self, room: &Room) -> Vec<NodeRef> {
        self.existing(room).map(|room| room.nodes(&self.node)).unwrap_or_default()
    }

    /// Another node has said how many members it holds.
    pub(super) fn learn(&self, counts: RoomCounts) {
        if counts.node.id == self.node.id {
            return;
        }
        let heard = self.heard.fetch_add(1, Ordering::SeqCst) + 1;
        for (room, members) in counts.rooms {
            if let Some(room) = self.existing(&room) {
                room.learn(&counts.node, Other { members, number: counts.number, heard });
            }
        }
    }

    /// Writes down that this node holds the room, unless that is known, and tells those who do too.
    async fn register(&self, room: &Arc<LocalRoom>, announcer: &Announcer) -> Result<(), StoreError> {
        if room.is_registered() {
            return Ok(());
        }
        let hints = {
            let _telling = self.telling.lock().await;
            // Somebody else may have done it meanwhile, or everybody has left.
            let registering = room.begin_registering();
            match registering {
                Some(members) => self.write(vec![(room.clone(), members)]).await?,
                None => return Ok(()),
            }
        };
        announcer.tell(hints).await;
        Ok(())
    }

    /// Writes down and tells what has changed since the last time.
    async fn tell_changed(&self, announcer: &Announcer) -> Result<(), StoreError> {
        let changed: Vec<Room> = std::mem::take(&mut *self.changed.lock()).into_iter().collect();
        let mut chunks = changed.chunks(CHUNK);
        while let Some(chunk) = chunks.next() {
            match self.write_changed(chunk).await {
                Ok(hints) => announcer.tell(hints).await,
                Err(error) => {
                    let rest = [chunk].into_iter().chain(chunks).flatten().cloned();
                    self.changed.lock().extend(rest);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn write_changed(&self, rooms: &[Room]) -> Result<Vec<(NodeRef, Payload)>, StoreError> {
        let _telling = self.telling.lock().await;
        let changed = |name| {
            let room = self.existing(name)?;
            let members = room.begin_telling()?;
            Some((room, members))
        };
        self.write(rooms.iter().filter_map(changed).collect()).await
    }

    /// Writes counts down; answers the hints for the other nodes that hold these rooms. Under `telling`.
    async fn write(&self, counts: Vec<(Arc<LocalRoom>, u64)>) -> Result<Vec<(NodeRef, Payload)>, StoreError> {
        if counts.is_empty() {
            return Ok(Vec::new());
        }
        let before = self.heard.load(Ordering::SeqCst);
        let count = |(room, members): &(Arc<LocalRoom>, u64)| RoomCount {
            room: room.name().clone(),
            members: *members,
        };
        let holders = self.store.set_room_members(&self.node, counts.iter().map(count).collect()).await?;
        let mut told: HashMap<NodeRef, Vec<(Room, u64)>> = HashMap::new();
        for ((room, members), holders) in counts.into_iter().zip(holders) {
            for other in room.wrote(members, self.others(holders), before) {
                told.entry(other).or_default().push((room.name().clone(), members));
            }
            self.forget_if_unused(&room);
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let hint = |rooms| Payload::RoomMembers(RoomCounts { node: self.node.clone(), number, rooms });
        Ok(told.into_iter().map(|(node, rooms)| (node, hint(rooms))).collect())
    }

    /// Reads again where the others are.
    pub(super) async fn compare(&self) -> Result<(), StoreError> {
        for chunk in self.all().chunks(CHUNK) {
            let before = self.heard.load(Ordering::SeqCst);
            let names = chunk.iter().map(|room| room.name().clone()).collect();
            for (room, holders) in chunk.iter().zip(self.store.room_members(names).await?) {
                let own =
                    holders.iter().find(|holder| holder.node == self.node).map_or(0, |holder| holder.members);
                if room.compared(own, self.others(holders), before) {
                    self.changed.lock().insert(room.name().clone());
                }
            }
        }
        Ok(())
    }

    /// Writes everything down again, after the store may have forgotten it. The others may have read that meanwhile, so
    /// they are told with the next changes.
    pub(super) async fn assert(&self) -> Result<(), StoreError> {
        for chunk in self.all().chunks(CHUNK) {
            {
                let _telling = self.telling.lock().await;
                let held = chunk.iter().filter_map(|room| Some((room.clone(), room.held()?)));
                self.write(held.collect()).await?;
            }
            for room in chunk {
                room.tell_in_any_case();
                self.changed.lock().insert(room.name().clone());
            }
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<LocalRoom>> {
        self.local.iter().map(|entry| entry.value().clone()).collect()
    }

    fn others(&self, mut holders: Vec<RoomHolder>) -> Vec<RoomHolder> {
        holders.retain(|holder| holder.node.id != self.node.id);
        holders
    }
}
