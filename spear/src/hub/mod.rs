//! Everything that is connected to this node, and the way of a message to it.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Hub`]: local users, and where a hint goes |
//! | `sequencer.rs` | one conversation: order, live or catching up |
//! | `fill.rs` | reads what is missing from the store, for those who are live |
//! | `catch_up.rs` | reads what one connection has not got, at the speed it reads |
//! | `changes.rs` | receipts and recalled messages: hints, and what was missed of a change log |
//! | `gap.rs` | what retention has taken before it was given |
//! | `groups.rs` | groups with a local member, and changes of their members |
//! | `rooms/` | rooms: who is in them here, and which other nodes hold members |
//! | `watches/` | who watches whose presence |
//! | `broadcast.rs` | what goes to everybody here, some at a time |
//! | `signals.rs` | what is not stored, to whoever is here now |
//! | `interest.rs` | tells the store which groups this node wants hints of |
//! | `sweep.rs` | compares everything local with the store |
//! | `takeover.rs` | a device that connects again: the older connection ends first |
//! | `assertion.rs` | tells the store again what it may have forgotten |

mod assertion;
mod broadcast;
mod catch_up;
mod changes;
#[cfg(test)]
mod changes_tests;
mod fill;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod flaky;
mod gap;
mod groups;
mod interest;
mod rooms;
mod sequencer;
mod signals;
mod sweep;
mod takeover;
#[cfg(test)]
mod tests;
mod watches;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use conversation::{Announcer, LocalDelivery};
use dashmap::{DashMap, Entry, OccupiedEntry};
use parking_lot::Mutex;
use socket::Frame;
use store::{Disconnect, Store};
use tokio::sync::{Notify, Semaphore};
use tracing::{Instrument as _, Span};
use wire::{Conversation, MessageHint, NodeRef, Payload, Room, User};

use crate::{
    connection::{Connection, Detached},
    counters::Counters,
    rate::{Rate, Tally},
};
use broadcast::Broadcasts;
use interest::Interest;
use rooms::Rooms;
use sequencer::{Handed, Offered};
pub(crate) use takeover::Move;
use takeover::Takeovers;
use watches::Watches;

pub(crate) use assertion::run as run_assertions;
pub(crate) use rooms::{LocalRoom, run as run_rooms};
pub(crate) use sequencer::Sequencer;
pub(crate) use sweep::run as run_sweeps;
pub(crate) use watches::{Meter, Topic, WatchLimits, run as run_watches};

/// Pages that are read from the store at once, for all who catch up: bounds memory and the store's load after a restart.
const CONCURRENT_PAGES: usize = 64;

/// Everything that is connected to this node.
pub(crate) struct Hub {
    this: Weak<Self>,
    pub(crate) node: NodeRef,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) counters: Arc<Counters>,
    users: DashMap<User, LocalUser>,
    sequencers: DashMap<Conversation, Arc<Sequencer>>,
    interest: Interest,
    rooms: Rooms,
    watches: Watches,
    pages: Semaphore,
    /// After which time what was sent to a client has arrived, or its connection has ended.
    heartbeat: Duration,
    /// The store's generation when it was last told everything; `None` before the first time.
    asserted: Mutex<Option<u64>>,
    /// Connections whose end the store could not be told; bounded in `assertion.rs`.
    unended: Mutex<Vec<Disconnect>>,
    takeovers: Mutex<Takeovers>,
    broadcasts: Broadcasts,
    /// Tells other nodes; what is for this one does not go through it.
    announcer: Announcer,
    /// Asks for a comparison with the store now.
    suspicion: Notify,
    /// Marks the log lines of this spear.
    span: Span,
}

/// A user with connections on this node.
#[derive(Default)]
struct LocalUser {
    connections: Vec<Arc<Connection>>,
    /// The inbox version that was last compared; 0 before the first time.
    inbox_version: u64,
    /// The change logs of direct conversations were compared up to this `rev`; 0 before the first time.
    changes_compared: u64,
    /// How many events came lately from all of them.
    events: Tally,
}

impl Hub {
    pub(crate) fn new(
        node: NodeRef,
        store: Arc<dyn Store>,
        counters: Arc<Counters>,
        announcer: Announcer,
        heartbeat: Duration,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            interest: Interest::new(node.clone(), store.clone()),
            rooms: Rooms::new(node.clone(), store.clone()),
            watches: Watches::new(node.clone(), store.clone()),
            node,
            store,
            counters,
            users: DashMap::new(),
            sequencers: DashMap::new(),
            pages: Semaphore::new(CONCURRENT_PAGES),
            heartbeat,
            asserted: Mutex::default(),
            unended: Mutex::default(),
            takeovers: Mutex::default(),
            broadcasts: Broadcasts::default(),
            announcer,
            suspicion: Notify::new(),
            span: Span::current(),
        })
    }

    /// Starts a task whose log lines name this spear, whoever starts it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task.instrument(self.span.clone()));
    }

    /// Adds a connection; from now on hints find it.
    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        let key = &connection.identity.key;
        let others = {
            let mut local = self.users.entry(key.user.clone()).or_default();
            local.connections.push(connection.clone());
            local.connections.clone()
        };
        // The newer one said that the older one has to go, perhaps before the older one could be found here.
        let same = others.iter().filter(|each| each.identity.key.device == key.device);
        if let Some(newest) = same.clone().map(|each| each.epoch()).max() {
            same.filter(|each| each.epoch() < newest)
                .for_each(|each| self.replace(each, newest, "replaced", None));
        }
    }

    /// Forgets a connection; nothing more is handed to it.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        if let Entry::Occupied(mut entry) = self.users.entry(connection.identity.key.user.clone()) {
            entry.get_mut().connections.retain(|each| !Arc::ptr_eq(each, connection));
            if entry.get().connections.is_empty() {
                entry.remove();
            }
        }
        let Detached { sequencers, rooms, watched, topics } = connection.detach_all();
        for sequencer in sequencers {
            sequencer.unsubscribe(connection);
            self.forget_if_unused(sequencer.conversation());
        }
        for room in rooms {
            self.rooms.leave(connection, &room);
        }
        for user in watched {
            self.watches.remove(connection, &user);
        }
        self.forget_topics(connection, &topics);
    }

    /// The connections of a user on this node.
    pub(crate) fn connections_of(&self, user: &User) -> Vec<Arc<Connection>> {
        self.users.get(user).map(|local| local.connections.clone()).unwrap_or_default()
    }

    /// Counts an event of a user who has a connection here.
    ///
    /// # Errors
    /// It is one too many; after how long the next one is taken.
    pub(crate) fn count_event(&self, user: &User, rate: &Rate) -> Result<(), Duration> {
        self.users.get(user).map_or(Ok(()), |local| rate.take(&local.events))
    }

    /// How many users have a connection here.
    pub(crate) fn user_count(&self) -> usize {
        self.users.len()
    }

    /// How many groups have a member here.
    pub(crate) fn group_count(&self) -> usize {
        self.interest.count()
    }

    /// All connections.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.users.iter().flat_map(|local| local.connections.clone()).collect()
    }

    /// Something may have been lost on the way: compare with the store soon.
    pub(crate) fn suspect(&self) {
        self.suspicion.notify_one();
    }

    fn forget_if_unused(&self, conversation: &Conversation) {
        if let Entry::Occupied(entry) = self.sequencers.entry(conversation.clone())
            && entry.get().is_unused()
        {
            self.forget(entry);
        }
    }

    fn forget(&self, entry: OccupiedEntry<'_, Conversation, Arc<Sequencer>>) {
        let (conversation, _) = entry.remove_entry();
        if let Some(group) = conversation.group() {
            self.interest.drop_later(group.clone());
        }
    }

    /// Unsubscribes the connections that `choose` has taken out of a conversation, with what they were given. Under the entry's
    /// lock, as subscribing is: one who subscribes again meanwhile is not detached.
    fn unsubscribe(
        &self,
        conversation: &Conversation,
        choose: impl FnOnce(&Sequencer) -> Vec<(Arc<Connection>, Option<u64>)>,
    ) {
        let Entry::Occupied(entry) = self.sequencers.entry(conversation.clone()) else { return };
        for (connection, given) in choose(entry.get()) {
            connection.detach(conversation, given);
        }
        if entry.get().is_unused() {
            self.forget(entry);
        }
    }

    /// Subscribes a connection to a conversation; it catches up from its cursor first.
    pub(crate) fn subscribe(&self, connection: &Arc<Connection>, conversation: &Conversation) {
        if let Some(sequencer) = self.subscribe_silently(connection, conversation) {
            self.catch_up(connection, sequencer);
        }
    }

    /// Subscribes a connection without letting it catch up; `None` where it was subscribed already or has ended.
    fn subscribe_silently(
        &self,
        connection: &Arc<Connection>,
        conversation: &Conversation,
    ) -> Option<Arc<Sequencer>> {
        let sequencer = {
            // Under the entry's lock: an unused sequencer is removed under it too.
            let make = || Arc::new(Sequencer::new(conversation.clone()));
            let entry = self.sequencers.entry(conversation.clone()).or_insert_with(make);
            if !entry.subscribe(connection) {
                return None;
            }
            if connection.attach(&entry) {
                return Some(entry.clone());
            }
            entry.clone()
        };
        sequencer.unsubscribe(connection);
        self.forget_if_unused(conversation);
        None
    }

    fn existing(&self, conversation: &Conversation) -> Option<Arc<Sequencer>> {
        self.sequencers.get(conversation).map(|entry| entry.clone())
    }

    /// Those of two users' local connections that do not subscribe to their conversation yet begin to.
    fn subscribe_users(&self, direct: &Conversation) -> Option<Arc<Sequencer>> {
        let connections: Vec<_> = direct.users().flat_map(|user| self.connections_of(user)).collect();
        if connections.is_empty() {
            return None;
        }
        let known = self.existing(direct);
        for connection in &connections {
            if !known.as_ref().is_some_and(|sequencer| sequencer.holds(connection)) {
                self.subscribe(connection, direct);
            }
        }
        known.or_else(|| self.existing(direct))
    }

    fn message(&self, hint: &MessageHint) {
        self.show(hint);
        let sequencer = match &hint.conversation {
            group @ Conversation::Group(_) => self.existing(group),
            direct @ Conversation::Direct(..) => self.subscribe_users(direct),
        };
        let Some(sequencer) = sequencer else { return };
        let json = match std::str::from_utf8(&hint.json) {
            Ok(json) => json,
            Err(error) => {
                tracing::warn!(%error, conversation = %hint.conversation, "a hint's payload is not UTF-8: read from the store instead");
                if sequencer.learn(hint.seq, hint.members_version, 0) {
                    self.fill(sequencer);
                }
                return;
            }
        };
        let Offered { handed, fill } = sequencer.offer(hint, || Frame::event("message", json));
        if handed.deliveries > 0 {
            self.counters.delivered(handed.deliveries, hint.sent_at);
        }
        self.demote(handed, &sequencer);
        if fill {
            self.fill(sequencer);
        }
    }

    /// Those who fell behind read from the store.
    fn demote(&self, handed: Handed, sequencer: &Arc<Sequencer>) {
        for connection in handed.behind {
            self.counters.fell_behind();
            connection.gave_changes(sequencer.conversation(), handed.behind_rev);
            self.catch_up(&connection, sequencer.clone());
        }
    }
}

impl Hub {
    fn take(&self, payload: Payload) {
        match payload {
            Payload::Message(hint) => self.message(&hint),
            Payload::Membership(change) => self.membership_changed(change),
            Payload::Kick(kick) => self.kick(&kick),
            Payload::RoomMessage(hint) => self.room_message(&hint),
            Payload::RoomMembers(counts) => self.rooms.learn(counts),
            Payload::Signal(hint) => self.signal(&hint),
            Payload::Changed(hint) => self.changed(&hint),
            Payload::Broadcast(hint) => self.broadcast(hint),
            Payload::Released(released) => self.released(released),
            Payload::Presence(users) => self.watches.look_at(&users),
            // Taken where they arrive from the relay: the probe is counted there, and orders are not the hub's.
            Payload::Probe(_) | Payload::Drain(_) => {}
        }
    }
}

impl LocalDelivery for Hub {
    fn deliver(&self, payloads: Vec<Payload>) {
        // Together: a connection that gets several messages writes them at once.
        socket::burst(|| payloads.into_iter().for_each(|payload| self.take(payload)));
    }

    fn room_nodes(&self, room: &Room) -> Vec<NodeRef> {
        self.rooms.nodes(room)
    }
}

/// The event of a hint about something that is stored nowhere; `None`, and a word in the log, where it is not UTF-8.
fn frame(event: &str, json: &[u8]) -> Option<Frame> {
    let json = std::str::from_utf8(json);
    json.map(|json| Frame::event(event, json))
        .inspect_err(|error| tracing::warn!(%error, event, "a hint's payload is not UTF-8: it is dropped"))
        .ok()
}
