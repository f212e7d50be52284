//! Who is registered.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, NodeState, Role};

use crate::{Registration, RosterError, Snapshot, path::check_part};

/// The most nodes at once: far above what one process starts. A registration above it is refused.
const NODES_MAX: usize = 4_096;

type Key = (Role, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Members {
    state: Mutex<State>,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<Key, Place>,
    /// The serial of the last registration.
    last_serial: u64,
    /// Changes are kept back from the snapshot while the roster is suspect.
    frozen: bool,
}

#[derive(Debug)]
struct Place {
    record: NodeRecord,
    /// The registration that holds the place: a handle that lost it must not free it.
    serial: u64,
    superseded: CancellationToken,
}

impl Members {
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Registers what is called `id` anew, in any role.
    pub(super) fn expire(&self, id: &str) {
        let mut state = self.state.lock();
        let keys: Vec<Key> = state.places.keys().filter(|key| &*key.1 == id).cloned().collect();
        let expired: Vec<_> = keys.into_iter().filter_map(|key| state.places.remove_entry(&key)).collect();
        self.publish(&state);
        state.places.extend(expired);
        self.publish(&state);
    }

    pub(super) fn freeze(&self) {
        self.state.lock().frozen = true;
    }

    pub(super) fn thaw(&self) {
        let mut state = self.state.lock();
        state.frozen = false;
        self.publish(&state);
    }

    /// Called with the lock held, so that snapshots follow one another in the order of the changes.
    fn publish(&self, state: &State) {
        if state.frozen {
            return;
        }
        let next = Snapshot::new(state.places.values().map(|place| place.record.clone()));
        self.snapshot.send_if_modified(|current| {
            let changed = **current != next;
            if changed {
                *current = Arc::new(next);
            }
            changed
        });
    }
}

/// Takes the place of `record`'s node.
///
/// Registering the same incarnation again replaces the record; the earlier handle then no longer frees the place.
pub(super) fn register(members: &Arc<Members>, record: NodeRecord) -> Result<Seat, RosterError> {
    check_part(&record.id)?;
    let key = (record.role, record.id.clone());
    let mut state = members.state.lock();
    if let Some(place) = state.places.get(&key) {
        if place.record.incarnation > record.incarnation {
            return Err(RosterError::Superseded { id: record.id, newer: place.record.incarnation });
        }
        if place.record.incarnation < record.incarnation {
            place.superseded.cancel();
        }
    } else if state.places.len() >= NODES_MAX {
        return Err(RosterError::Unavailable(format!("it holds {NODES_MAX} nodes already")));
    }
    state.last_serial += 1;
    let seat = Seat {
        members: members.clone(),
        key: key.clone(),
        incarnation: record.incarnation,
        serial: state.last_serial,
        superseded: CancellationToken::new(),
    };
    state.places.insert(key, Place { record, serial: seat.serial, superseded: seat.superseded.clone() });
    members.publish(&state);
    Ok(seat)
}

/// A place taken; dropping it frees it.
#[derive(Debug)]
pub(super) struct Seat {
    members: Arc<Members>,
    key: Key,
    incarnation: wire::Incarnation,
    serial: u64,
    superseded: CancellationToken,
}

#[async_trait]
impl Registration for Seat {
    async fn set_state(&self, state: NodeState) -> Result<(), RosterError> {
        let mut members = self.members.state.lock();
        if members.frozen {
            return Err(RosterError::Unavailable("a test made it suspect".into()));
        }
        let Some(place) = members.places.get_mut(&self.key) else {
            return Err(RosterError::Unavailable("a later registration of this node has left".into()));
        };
        if place.record.incarnation != self.incarnation {
            let newer = place.record.incarnation;
            return Err(RosterError::Superseded { id: self.key.1.clone(), newer });
        }
        place.record.state = state;
        self.members.publish(&members);
        Ok(())
    }

    fn superseded(&self) -> CancellationToken {
        self.superseded.clone()
    }

    async fn leave(self: Box<Self>) {}
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.members.state.lock();
        if state.places.get(&self.key).is_some_and(|place| place.serial == self.serial) {
            state.places.remove(&self.key);
            self.members.publish(&state);
        }
    }
}
