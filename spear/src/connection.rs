//! One client's connection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::json;
use socket::{Frame, Outlet};
use store::{Connected, DeviceKey};
use tokio::time::Instant;
use wire::{Conversation, Room, User};

use crate::{
    hub::{LocalRoom, Meter, Sequencer, Topic},
    rate::{Rate, Tally},
};

/// The scope of tokens that may watch what their user is not in.
const MONITOR: &str = "monitor";

/// Who is connected, as the ticket says.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The user and the device.
    pub(crate) key: DeviceKey,
    /// Unique to this connection; kept with the messages that it sends.
    pub(crate) session: u64,
    /// When the token expires with which the ticket was had, milliseconds since the Unix epoch.
    pub(crate) token_expires_at: i64,
}

/// A connection from its admission to its end.
pub(crate) struct Connection {
    pub(crate) identity: Identity,
    /// As [`Identity`] has it, or as the client has refreshed it since.
    token_expires_at: AtomicI64,
    pub(crate) outlet: Arc<dyn Outlet>,
    /// What the store said when the device was registered; events wait for it.
    registered: OnceLock<Connected>,
    /// Where this connection is delivered from; bounded by the user's conversations.
    attached: Mutex<Attached>,
    /// Confirmed by the client and not yet written; bounded by `attached`.
    confirmed: Mutex<BTreeMap<Conversation, u64>>,
    catching_up: Mutex<CatchUpQueue>,
    kicked: AtomicBool,
    may_monitor: AtomicBool,
    /// The epoch of the connection that this one was told to make room for; 0 where there is none.
    replaced_by: AtomicU64,
    /// How many events came lately.
    pub(crate) events: Tally,
}

#[derive(Default)]
struct Attached {
    /// Ascending by conversation: a map would take several times the memory, for each group of each connection.
    sequencers: Vec<Arc<Sequencer>>,
    /// What was given of groups that the user has left: it may still be confirmed, and is not given again to one who comes back.
    /// Bounded by the user's groups.
    left: BTreeMap<Conversation, u64>,
    /// Ascending by name; bounded by a setting.
    rooms: Vec<Arc<LocalRoom>>,
    /// Up to which `rev` the change logs were given of which it was given a part.
    changes: BTreeMap<Conversation, u64>,
    /// Made when it is needed: most connections watch nobody.
    watching: Option<Box<Watching>>,
    /// The connection has ended: nothing is attached any more.
    gone: bool,
}

/// What a connection watches; bounded by a setting.
#[derive(Default)]
struct Watching {
    /// Whose presence.
    users: BTreeSet<User>,
    /// Which messages.
    topics: BTreeSet<Topic>,
    /// How many of them it may be given.
    meter: Option<Arc<Meter>>,
}

/// Where a connection was attached when it ended.
pub(crate) struct Detached {
    pub(crate) sequencers: Vec<Arc<Sequencer>>,
    pub(crate) rooms: Vec<Arc<LocalRoom>>,
    /// Whose presence it watched.
    pub(crate) watched: BTreeSet<User>,
    /// Which messages it watched.
    pub(crate) topics: Vec<Topic>,
}

/// Why a connection does not watch something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchRefused {
    /// It watches as many as it may.
    TooMany,
    /// This node does.
    NodeFull,
    /// It has ended.
    Gone,
}

/// Why a connection does not enter a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoomRefused {
    /// It is in as many as it may be.
    TooMany,
    /// It has ended.
    Gone,
}

/// The conversations that this connection reads from the store; bounded by `attached`.
#[derive(Default)]
struct CatchUpQueue {
    waiting: VecDeque<Arc<Sequencer>>,
    /// Whether somebody works on it.
    busy: bool,
    /// Nothing is sent before `ready`.
    open: bool,
    /// Everything that the device has missed was queued once.
    resumed: bool,
    /// Since when nothing was queued any more.
    idle_since: Option<Instant>,
}

impl CatchUpQueue {
    fn note_idle(&mut self) {
        if self.resumed && !self.busy && self.waiting.is_empty() && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
    }
}

impl Attached {
    fn forget_idle_watching(&mut self) {
        let is_idle = |watching: &Watching| watching.users.is_empty() && watching.topics.is_empty();
        if self.watching.as_deref().is_some_and(is_idle) {
            self.watching = None;
        }
    }

    /// Where a conversation is, or belongs.
    fn place(&self, conversation: &Conversation) -> Result<usize, usize> {
        self.sequencers.binary_search_by(|each| each.conversation().cmp(conversation))
    }

    fn place_of_room(&self, room: &Room) -> Result<usize, usize> {
        self.rooms.binary_search_by(|each| each.name().cmp(room))
    }
}

impl Connection {
    pub(crate) fn new(identity: Identity, outlet: Arc<dyn Outlet>) -> Self {
        Self {
            token_expires_at: AtomicI64::new(identity.token_expires_at),
            identity,
            outlet,
            registered: OnceLock::new(),
            attached: Mutex::default(),
            confirmed: Mutex::default(),
            catching_up: Mutex::default(),
            kicked: AtomicBool::new(false),
            may_monitor: AtomicBool::new(false),
            replaced_by: AtomicU64::new(0),
            events: Tally::default(),
        }
    }

    pub(crate) fn set_registered(&self, connected: Connected) {
        // Only the session's own start sets it, once.
        drop(self.registered.set(connected));
    }

    pub(crate) fn registered(&self) -> Option<&Connected> {
        self.registered.get()
    }

    /// The epoch of this connection; 0, which every store refuses, before it is registered.
    pub(crate) fn epoch(&self) -> u64 {
        self.registered.get().map_or(0, |connected| connected.epoch)
    }

    /// When the user's token expires, milliseconds since the Unix epoch.
    pub(crate) fn token_expires_at(&self) -> i64 {
        self.token_expires_at.load(Ordering::Relaxed)
    }

    /// The client has shown a newer token.
    pub(crate) fn set_token_expiry(&self, expires_at: i64) {
        self.token_expires_at.store(expires_at, Ordering::Relaxed);
    }

    /// The epoch with which cursors are moved. One that was told who replaces it still writes what its client had confirmed: the
    /// newer one asked for it, and the store takes nothing of an older epoch.
    pub(crate) fn cursor_epoch(&self) -> u64 {
        self.epoch().max(self.replaced_by.load(Ordering::Relaxed))
    }

    /// Makes room for the connection with this epoch; `u64::MAX` is nobody's.
    pub(crate) fn hand_over(&self, epoch: u64) {
        if epoch != u64::MAX {
            self.replaced_by.fetch_max(epoch, Ordering::Relaxed);
        }
    }

    /// Whether it was told to go.
    pub(crate) fn is_kicked(&self) -> bool {
        self.kicked.load(Ordering::Relaxed)
    }

    /// Notes where it is delivered from; answers whether the connection is still there.
    pub(crate) fn attach(&self, sequencer: &Arc<Sequencer>) -> bool {
        let mut attached = self.attached.lock();
        if !attached.gone
            && let Err(place) = attached.place(sequencer.conversation())
        {
            attached.sequencers.insert(place, sequencer.clone());
        }
        !attached.gone
    }

    /// It is not delivered from there any more, after it was given everything up to `given`.
    pub(crate) fn detach(&self, conversation: &Conversation, given: Option<u64>) {
        let mut attached = self.attached.lock();
        let Ok(place) = attached.place(conversation) else { return };
        attached.sequencers.remove(place);
        attached.changes.remove(conversation);
        if let Some(given) = given {
            let left = attached.left.entry(conversation.clone()).or_default();
            *left = given.max(*left);
        }
    }

    /// What it was given of a group before the user left it, 0 where the user did not.
    pub(crate) fn given_before_leaving(&self, conversation: &Conversation) -> u64 {
        self.attached.lock().left.get(conversation).copied().unwrap_or(0)
    }

    /// Notes up to which `rev` it was given a conversation's changes.
    pub(crate) fn gave_changes(&self, conversation: &Conversation, rev: u64) {
        let mut attached = self.attached.lock();
        if attached.place(conversation).is_ok() {
            attached.changes.insert(conversation.clone(), rev);
        }
    }

    /// Up to which `rev` it was given a conversation's changes; `None` where none were yet.
    pub(crate) fn given_changes(&self, conversation: &Conversation) -> Option<u64> {
        self.attached.lock().changes.get(conversation).copied()
    }

    /// The connection has ended. Answers where it was attached.
    pub(crate) fn detach_all(&self) -> Detached {
        self.catching_up.lock().waiting.clear();
        let mut attached = self.attached.lock();
        attached.gone = true;
        let watching = attached.watching.take().unwrap_or_default();
        Detached {
            sequencers: std::mem::take(&mut attached.sequencers),
            rooms: std::mem::take(&mut attached.rooms),
            watched: watching.users,
            topics: watching.topics.into_iter().collect(),
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.attached.lock().gone
    }

    /// Notes whose presence it watches; at most `most` in all.
    pub(crate) fn watch(&self, users: &[User], most: usize) -> Result<(), WatchRefused> {
        let mut attached = self.attached.lock();
        if attached.gone {
            return Err(WatchRefused::Gone);
        }
        let known = attached.watching.get_or_insert_default();
        let new: BTreeSet<&User> = users.iter().filter(|user| !known.users.contains(*user)).collect();
        if known.users.len() + new.len() > most {
            return Err(WatchRefused::TooMany);
        }
        known.users.extend(new.into_iter().cloned());
        Ok(())
    }

    /// It does not watch these users any more; answers those that it did.
    pub(crate) fn unwatch(&self, users: &[User]) -> Vec<User> {
        let mut attached = self.attached.lock();
        let Some(known) = attached.watching.as_mut() else { return Vec::new() };
        let ended = users.iter().filter(|user| known.users.remove(*user)).cloned().collect();
        attached.forget_idle_watching();
        ended
    }

    /// Counts what it is given of what it watches.
    pub(crate) fn meter(&self, rate: &Arc<Option<Rate>>) -> Result<Arc<Meter>, WatchRefused> {
        let mut attached = self.attached.lock();
        if attached.gone {
            return Err(WatchRefused::Gone);
        }
        let known = attached.watching.get_or_insert_default();
        Ok(known.meter.get_or_insert_with(|| Arc::new(Meter::new(rate.clone()))).clone())
    }

    /// Notes which messages it watches; at most `most` topics in all.
    pub(crate) fn monitor(&self, topics: &[Topic], most: usize) -> Result<(), WatchRefused> {
        let mut attached = self.attached.lock();
        if attached.gone {
            return Err(WatchRefused::Gone);
        }
        let known = attached.watching.get_or_insert_default();
        let new: BTreeSet<&Topic> = topics.iter().filter(|topic| !known.topics.contains(*topic)).collect();
        let fits = known.topics.len() + new.len() <= most;
        if fits {
            known.topics.extend(new.into_iter().cloned());
        }
        attached.forget_idle_watching();
        if fits { Ok(()) } else { Err(WatchRefused::TooMany) }
    }

    /// It does not watch these messages any more; answers those that it did.
    pub(crate) fn stop_monitoring(&self, topics: &[Topic]) -> Vec<Topic> {
        let mut attached = self.attached.lock();
        let Some(known) = attached.watching.as_mut() else { return Vec::new() };
        let ended = topics.iter().filter(|topic| known.topics.remove(*topic)).cloned().collect();
        attached.forget_idle_watching();
        ended
    }

    /// Which messages it watches.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        let attached = self.attached.lock();
        attached.watching.iter().flat_map(|watching| watching.topics.iter().cloned()).collect()
    }

    /// Whether it may watch what its user is not in.
    pub(crate) fn may_monitor(&self) -> bool {
        self.may_monitor.load(Ordering::Relaxed)
    }

    /// The token that counts has these scopes.
    pub(crate) fn set_scope(&self, scope: &[String]) {
        self.may_monitor.store(scope.iter().any(|each| each == MONITOR), Ordering::Relaxed);
    }

    /// Notes that it is in a room, where it may be already; in at most `most`.
    pub(crate) fn enter_room(&self, room: &Arc<LocalRoom>, most: usize) -> Result<(), RoomRefused> {
        let mut attached = self.attached.lock();
        if attached.gone {
            return Err(RoomRefused::Gone);
        }
        if let Err(place) = attached.place_of_room(room.name()) {
            if attached.rooms.len() >= most {
                return Err(RoomRefused::TooMany);
            }
            attached.rooms.insert(place, room.clone());
        }
        Ok(())
    }

    /// It is not in this room any more; `None` where it was not.
    pub(crate) fn leave_room(&self, room: &Room) -> Option<Arc<LocalRoom>> {
        let mut attached = self.attached.lock();
        let place = attached.place_of_room(room).ok()?;
        Some(attached.rooms.remove(place))
    }

    /// Whether it is in a room.
    pub(crate) fn is_in_room(&self, room: &Room) -> bool {
        self.attached.lock().place_of_room(room).is_ok()
    }

    /// Takes the client's word that it holds everything up to `seq`, as far as it was given to it. Answers whether this is the
    /// first thing to be written.
    pub(crate) fn confirm(&self, conversation: Conversation, seq: u64) -> bool {
        let (sequencer, left) = {
            let attached = self.attached.lock();
            let sequencer =
                attached.place(&conversation).ok().and_then(|place| attached.sequencers.get(place));
            (sequencer.cloned(), attached.left.get(&conversation).copied())
        };
        let given = sequencer.and_then(|sequencer| sequencer.given_to(self)).or(left);
        given.is_some_and(|given| self.put_back(vec![(conversation, seq.min(given))]))
    }

    /// What was confirmed since the last call.
    pub(crate) fn take_confirmed(&self) -> Vec<(Conversation, u64)> {
        std::mem::take(&mut *self.confirmed.lock()).into_iter().collect()
    }

    /// Adds to what is to be written; answers whether there was nothing before.
    pub(crate) fn put_back(&self, cursors: Vec<(Conversation, u64)>) -> bool {
        let mut confirmed = self.confirmed.lock();
        let first = confirmed.is_empty();
        for (conversation, seq) in cursors {
            let cursor = confirmed.entry(conversation).or_default();
            *cursor = seq.max(*cursor);
        }
        first && !confirmed.is_empty()
    }

    /// Tells the client why it has to go, with a word for people where there is one, and closes.
    pub(crate) fn kick(&self, reason: &str, message: Option<&str>) {
        if self.kicked.swap(true, Ordering::Relaxed) {
            return;
        }
        // Whether trying again makes sense: not where another connection of the same device is meant to be the one.
        let reconnect = matches!(reason, "expired" | "admin");
        let mut payload = json!({"reason": reason, "reconnect": reconnect});
        if let Some(message) = message {
            payload["message"] = message.into();
        }
        let payload = payload.to_string();
        // One whose queue is full is closed without the reason.
        let _ = self.outlet.send(&Frame::event("kicked", &payload));
        self.outlet.close();
    }

    /// Queues a conversation to be read from the store; answers whether the caller is to start working on the queue.
    pub(crate) fn queue_catch_up(&self, sequencer: Arc<Sequencer>) -> bool {
        let mut queue = self.catching_up.lock();
        queue.idle_since = None;
        queue.waiting.push_back(sequencer);
        let start = queue.open && !queue.busy;
        queue.busy |= start;
        start
    }

    /// `ready` was sent: catching up may begin. Answers whether the caller is to start working on the queue.
    pub(crate) fn open_catch_up(&self) -> bool {
        let mut queue = self.catching_up.lock();
        queue.open = true;
        let start = !queue.busy && !queue.waiting.is_empty();
        queue.busy |= start;
        start
    }

    /// Whether `ready` was sent.
    pub(crate) fn may_catch_up(&self) -> bool {
        self.catching_up.lock().open
    }

    /// The next conversation to catch up with; with `None` the worker has ended.
    pub(crate) fn next_catch_up(&self) -> Option<Arc<Sequencer>> {
        let mut queue = self.catching_up.lock();
        let next = queue.waiting.pop_front();
        queue.busy = next.is_some();
        queue.note_idle();
        next
    }

    /// Everything that the device has missed is queued.
    pub(crate) fn resumed(&self) {
        let mut queue = self.catching_up.lock();
        queue.resumed = true;
        queue.note_idle();
    }

    /// Since when the device has been given everything that it had missed; `None` where something is still to be given.
    pub(crate) fn caught_up_since(&self) -> Option<Instant> {
        self.catching_up.lock().idle_since
    }
}
