//! One room: its members here, and what is known about the other nodes that hold some.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use roster::Snapshot;
use socket::{Backlog, Frame};
use store::RoomHolder;
use wire::{NodeRef, Role, Room};

use crate::connection::Connection;

/// A room with members here.
pub(crate) struct LocalRoom {
    name: Room,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Ascending by address: there may be tens of thousands.
    members: Vec<Arc<Connection>>,
    /// The store knows that this node holds the room.
    registered: bool,
    /// The store may know it: it is to be told when the last member has left.
    stored: bool,
    /// What it was told last; 0 where it is to be told in any case.
    told: u64,
    /// Bounded by the nodes that there are.
    others: BTreeMap<NodeRef, Other>,
}

/// What is known about another node.
pub(super) struct Other {
    /// 0 where it holds none any more: remembered until the next sweep, so that an older hint does not count.
    pub(super) members: u64,
    /// The number of the hint that said so; 0 where it was read from the store.
    pub(super) number: u64,
    /// When that was, by the count of [`super::Rooms`].
    pub(super) heard: u64,
}

/// What handing out did.
#[derive(Default)]
pub(super) struct Handed {
    pub(super) deliveries: u64,
    pub(super) missed: u64,
}

impl LocalRoom {
    pub(super) fn new(name: Room) -> Self {
        Self { name, state: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &Room {
        &self.name
    }

    /// The nodes that hold members; `own`, this one, among them.
    pub(super) fn nodes(&self, own: &NodeRef) -> Vec<NodeRef> {
        let state = self.state.lock();
        let here = (!state.members.is_empty()).then_some(own);
        here.into_iter().chain(state.others_with_members()).cloned().collect()
    }

    /// Whether the store knows that this node holds it.
    pub(super) fn is_registered(&self) -> bool {
        self.state.lock().registered
    }

    /// The others may not know what they were told.
    pub(super) fn tell_in_any_case(&self) {
        self.state.lock().told = 0;
    }

    /// How many members there are: here, and on other nodes that are alive as of a second ago.
    pub(crate) fn count(&self, alive: &Snapshot) -> u64 {
        let state = self.state.lock();
        let others = state.others.iter().filter(|(node, _)| alive.holds(Role::Spear, node));
        state.members.len() as u64 + others.map(|(_, other)| other.members).sum::<u64>()
    }

    pub(super) fn insert(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock();
        if let Err(place) = state.place(connection) {
            state.members.insert(place, connection.clone());
        }
    }

    pub(super) fn remove(&self, connection: &Connection) {
        let mut state = self.state.lock();
        if let Ok(place) = state.place(connection) {
            state.members.remove(place);
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        let state = self.state.lock();
        state.members.is_empty() && !state.stored
    }

    /// Hands a frame to all members but the connection that it comes from. One whose queue is full misses it.
    pub(super) fn hand(&self, frame: &Frame, origin_session: u64) -> Handed {
        let mut handed = Handed::default();
        for member in &self.state.lock().members {
            if member.identity.session != origin_session {
                match member.outlet.send(frame) {
                    Ok(()) => handed.deliveries += 1,
                    Err(Backlog::Full) => handed.missed += 1,
                    // Its end is on the way.
                    Err(Backlog::Closed) => {}
                }
            }
        }
        handed
    }

    pub(super) fn learn(&self, node: &NodeRef, other: Other) {
        let mut state = self.state.lock();
        if state.others.get(node).is_none_or(|known| known.number < other.number) {
            // An earlier start of the node holds nothing any more.
            state.others.retain(|known, _| known.id != node.id || known.incarnation >= node.incarnation);
            state.others.insert(node.clone(), other);
        }
    }

    /// How many members the store is to be told of, if this node holds some and it does not know.
    pub(super) fn begin_registering(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let wanted = !state.registered && !state.members.is_empty();
        state.stored |= wanted;
        wanted.then_some(state.members.len() as u64)
    }

    /// How many members the store is to be told of, where that is something new.
    pub(super) fn begin_telling(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let members = state.members.len() as u64;
        if members == 0 {
            // Whoever comes now registers anew, after this.
            state.registered = false;
            return state.stored.then_some(0);
        }
        // One that is not registered yet is being so by who has joined.
        (state.registered && state.told != members).then_some(members)
    }

    /// How many members the store should know of.
    pub(super) fn held(&self) -> Option<u64> {
        let state = self.state.lock();
        (state.registered && !state.members.is_empty()).then_some(state.members.len() as u64)
    }

    /// The store has it; `others` is what it said of the other nodes, read after `before`. Answers whom to tell.
    pub(super) fn wrote(&self, members: u64, others: Vec<RoomHolder>, before: u64) -> Vec<NodeRef> {
        let mut state = self.state.lock();
        state.registered = members > 0;
        state.stored = members > 0;
        state.told = members;
        state.set_others(others, before);
        state.others_with_members().cloned().collect()
    }

    /// The store says that this node holds `own` members. Answers whether it is to be told again.
    pub(super) fn compared(&self, own: u64, others: Vec<RoomHolder>, before: u64) -> bool {
        let mut state = self.state.lock();
        state.set_others(others, before);
        let forgotten = state.registered && own == 0;
        if forgotten {
            state.told = 0;
        }
        forgotten
    }
}

impl State {
    /// Where a connection is, or belongs.
    fn place(&self, connection: &Connection) -> Result<usize, usize> {
        let address = std::ptr::from_ref(connection);
        self.members.binary_search_by_key(&address, Arc::as_ptr)
    }

    fn others_with_members(&self) -> impl Iterator<Item = &NodeRef> {
        self.others.iter().filter(|(_, other)| other.members > 0).map(|(node, _)| node)
    }

    /// What was heard since the reading began is newer than what was read. What was heard before it is not: whoever tells
    /// something has written it down before.
    fn set_others(&mut self, read: Vec<RoomHolder>, before: u64) {
        self.others.retain(|_, other| other.heard > before);
        for RoomHolder { node, members } in read {
            self.others.entry(node).or_insert(Other { members, number: 0, heard: before });
        }
    }
}
