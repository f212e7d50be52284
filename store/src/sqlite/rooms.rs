//! Which nodes hold members of which room.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use wire::{Incarnation, NodeRef, Room};

use crate::{RoomCount, RoomHolder};

/// Bounded by the rooms that the nodes hold, which their connections bound.
#[derive(Default)]
pub(super) struct Rooms {
    rooms: HashMap<Room, BTreeMap<NodeRef, u64>>,
    newest: HashMap<Arc<str>, Incarnation>,
}

impl Rooms {
    /// Forgets what earlier starts of this node held.
    pub(super) fn enter(&mut self, node: &NodeRef) {
        let newest = self.newest.entry(node.id.clone()).or_insert(node.incarnation);
        *newest = node.incarnation.max(*newest);
        let newest = *newest;
        self.rooms.retain(|_, holders| {
            holders.retain(|held, _| held.id != node.id || held.incarnation >= newest);
            !holders.is_empty()
        });
    }

    /// A start of a node that has a later one is not listened to. Answers who holds the room then.
    pub(super) fn set(&mut self, node: &NodeRef, RoomCount { room, members }: RoomCount) -> Vec<RoomHolder> {
        if self.newest.get(&node.id).is_some_and(|newest| *newest > node.incarnation) {
            return self.holders(&room);
        }
        if members > 0 {
            self.rooms.entry(room.clone()).or_default().insert(node.clone(), members);
        } else if let Some(holders) = self.rooms.get_mut(&room) {
            holders.remove(node);
            if holders.is_empty() {
                self.rooms.remove(&room);
            }
        }
        self.holders(&room)
    }

    pub(super) fn holders(&self, room: &Room) -> Vec<RoomHolder> {
        let held = self.rooms.get(room).into_iter().flatten();
        held.map(|(node, members)| RoomHolder { node: node.clone(), members: *members }).collect()
    }
}
