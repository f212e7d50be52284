//! A hub on a real store, and clients that record what they are sent, for the tests of this folder.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use conversation::{Announcer, LocalDelivery as _};
use parking_lot::Mutex;
use relay::{EmbeddedRelay, Publisher};
use serde_json::{Value, value::RawValue};
use socket::{Backlog, Frame, Outlet, Unanswered};
use store::{
    Append, AppendRefusal, Appended, Author, Connect, CursorMove, DeviceKey, DeviceLimits, Direction,
    GroupRecord, PageRequest, Progress, RetentionPolicy, Store,
};
use tokio::{sync::Notify, time};
use wire::{
    Conversation, Destination, Device, Group, Incarnation, MembershipChange, Message, MessageHint, MessageId,
    NodeRef, Payload, User,
};

use super::{Hub, flaky::Flaky};
use crate::{
    connection::{Connection, Identity},
    counters::Counters,
};

/// How long a test waits for something that must happen.
const BUDGET: Duration = Duration::from_secs(10);
/// What is older has arrived.
const HEARTBEAT: Duration = Duration::from_secs(45);

/// A client that records what it is sent; its queue has a bound.
pub(super) struct Client {
    frames: Mutex<Vec<String>>,
    room: AtomicUsize,
    changed: Notify,
}

#[async_trait]
impl Outlet for Client {
    fn send(&self, frame: &Frame) -> Result<(), Backlog> {
        if self.room.load(Ordering::Relaxed) == 0 {
            return Err(Backlog::Full);
        }
        self.room.fetch_sub(1, Ordering::Relaxed);
        self.frames.lock().push(frame.text().unwrap_or_default().trim_start_matches('4').to_owned());
        self.changed.notify_waiters();
        Ok(())
    }

    fn acknowledge(&self, _ack_id: u64, _json: &str) {}

    async fn ask(&self, _name: &str, _args: &str) -> Result<Box<RawValue>, Unanswered> {
        Err(Unanswered)
    }

    async fn writable(&self) -> Result<(), Backlog> {
        loop {
            let changed = self.changed.notified();
            if self.room.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            changed.await;
        }
    }

    fn close(&self) {}
}

impl Client {
    /// One whose queue holds this many frames.
    pub(super) fn new(room: usize) -> Arc<Self> {
        let room = AtomicUsize::new(room);
        Arc::new(Self { frames: Mutex::default(), room, changed: Notify::new() })
    }

    /// The payloads of one event so far.
    pub(super) fn events(&self, name: &str) -> Vec<serde_json::Value> {
        let payload = |text: &String| {
            let (of, payload): (String, serde_json::Value) =
                serde_json::from_str(text.strip_prefix('2')?).ok()?;
            (of == name).then_some(payload)
        };
        self.frames.lock().iter().filter_map(payload).collect()
    }

    /// Lets the client read this many more frames.
    pub(super) fn read(&self, frames: usize) {
        self.room.fetch_add(frames, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// The `seq` of each message so far, in the order in which they came.
    pub(super) fn seqs(&self) -> Vec<u64> {
        let seq = |text: &String| {
            let (name, message): (String, Message) = serde_json::from_str(text.strip_prefix('2')?).ok()?;
            (name == "message").then_some(message.seq)
        };
        self.frames.lock().iter().filter_map(seq).collect()
    }

    /// What the client was told so far, in order: the message `m1`, the tombstone `t1`, the recall `r1`, the receipt `bob 1`, the gap
    /// `3..=7`.
    pub(super) fn told(&self) -> Vec<String> {
        let event = |text: &String| {
            let (name, payload): (String, Value) = serde_json::from_str(text.strip_prefix('2')?).ok()?;
            let letter = match name.as_str() {
                "message" if payload["body"].is_null() => "t",
                "message" => "m",
                "recalled" => "r",
                "receipt" => return Some(format!("{} {}", payload["user"].as_str()?, payload["read_seq"])),
                "gap" => return Some(format!("{}..={}", payload["from_seq"], payload["to_seq"])),
                _ => return None,
            };
            Some(format!("{letter}{}", payload["seq"]))
        };
        self.frames.lock().iter().filter_map(event).collect()
    }

    /// Waits until the client was told exactly this.
    pub(super) async fn was_told(&self, wanted: &[&str]) {
        self.has_events(wanted.len()).await;
        assert_eq!(self.told(), wanted);
    }

    /// Waits until the client was told so much.
    pub(super) async fn has_events(&self, count: usize) {
        let arrived = async {
            loop {
                let changed = self.changed.notified();
                if self.told().len() >= count {
                    return;
                }
                changed.await;
            }
        };
        drop(time::timeout(BUDGET, arrived).await);
    }

    /// Whether the client was told to go.
    pub(super) fn is_kicked(&self) -> bool {
        self.frames.lock().iter().any(|text| text.starts_with("2[\"kicked\""))
    }

    /// Waits until exactly these messages have come.
    pub(super) async fn has(&self, seqs: impl IntoIterator<Item = u64>) {
        let wanted: Vec<u64> = seqs.into_iter().collect();
        let arrived = async {
            loop {
                let changed = self.changed.notified();
                if self.seqs().len() >= wanted.len() {
                    return;
                }
                changed.await;
            }
        };
        drop(time::timeout(BUDGET, arrived).await);
        assert_eq!(self.seqs(), wanted);
    }
}

/// A hub on a store of its own.
pub(super) struct Fixture {
    pub(super) hub: Arc<Hub>,
    pub(super) store: Arc<dyn Store>,
    pub(super) flaky: Arc<Flaky>,
    ids: AtomicUsize,
    _directory: tempfile::TempDir,
}

pub(super) fn user(name: &str) -> User {
    name.parse().expect("a name")
}

/// A hub that tells nobody else of takeovers.
pub(super) fn hub(node: NodeRef, store: Arc<dyn Store>) -> Arc<Hub> {
    let publisher = Arc::new(Publisher::new(Arc::new(EmbeddedRelay::new(1)), node.clone()));
    let announcer = Announcer::remote(node.clone(), publisher);
    let counters = Arc::new(Counters::new().expect("counters"));
    Hub::new(node, store, counters, announcer, HEARTBEAT)
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let flaky = Arc::new(Flaky::open(directory.path()));
        let store: Arc<dyn Store> = flaky.clone();
        let node = NodeRef { id: "spear-1".into(), incarnation: Incarnation(1) };
        store.enter(&node).await.expect("entered");
        let hub = hub(node, store.clone());
        Self { hub, store, flaky, ids: AtomicUsize::new(1), _directory: directory }
    }

    /// Connects a device as a session does, with room for `room` frames.
    pub(super) async fn connect(
        &self,
        name: &str,
        device: &str,
        room: usize,
    ) -> (Arc<Connection>, Arc<Client>) {
        let (connection, client) = self.register(name, device, room).await;
        self.hub.open_catch_up(&connection);
        let key = &connection.identity.key;
        let inbox = self.store.inbox(&key.user).await.expect("an inbox");
        let cursors = self.store.cursors(key).await.expect("cursors");
        self.hub.catch_up_direct(&connection, &cursors, &inbox.direct).await.expect("caught up");
        self.hub.catch_up_changes(&connection).await.expect("caught up");
        self.hub.join_groups(&connection, &cursors, &inbox.groups).await.expect("joined");
        (connection, client)
    }

    /// Connects a device that was not sent `ready` yet.
    pub(super) async fn register(
        &self,
        name: &str,
        device: &str,
        room: usize,
    ) -> (Arc<Connection>, Arc<Client>) {
        let client = Client::new(room);
        let key = DeviceKey { user: user(name), device: Device::new(device).expect("a name") };
        let session = self.ids.fetch_add(1, Ordering::Relaxed) as u64;
        let identity = Identity { key: key.clone(), session, token_expires_at: i64::MAX };
        let connection = Arc::new(Connection::new(identity, client.clone()));
        let connect =
            Connect { key: key.clone(), node: self.hub.node.clone(), limits: DeviceLimits::default() };
        let connected = self.store.connect(vec![connect]).await.expect("connected").remove(0);
        connection.set_registered(connected);
        self.hub.add(&connection);
        (connection, client)
    }

    /// Stores a message and answers its hint, which the caller may deliver or lose.
    pub(super) async fn append(&self, from: &str, to: Destination, session: u64) -> Payload {
        let author = Author { device: None, epoch: 0, session };
        hint(&self.store_message(user(from), author, to).await.expect("not refused"))
    }

    /// Stores a message that a connection sends.
    pub(super) async fn append_as(
        &self,
        connection: &Connection,
        to: Destination,
    ) -> Result<Appended, AppendRefusal> {
        let Identity { key, session, .. } = connection.identity.clone();
        let author = Author { device: Some(key.device), epoch: connection.epoch(), session };
        self.store_message(key.user, author, to).await
    }

    async fn store_message(
        &self,
        from: User,
        author: Author,
        to: Destination,
    ) -> Result<Appended, AppendRefusal> {
        let conversation = match &to {
            Destination::User(to) => Conversation::direct(from.clone(), to.clone()),
            Destination::Group(group) => Conversation::Group(group.clone()),
            Destination::Room(_) => panic!("rooms are not stored"),
        };
        let append = Append {
            conversation,
            id: MessageId(self.ids.fetch_add(1, Ordering::Relaxed) as u64),
            cid: None,
            from,
            author,
            to,
            kind: "text".into(),
            body: serde_json::value::to_raw_value(&1).expect("JSON").into(),
            members_only: false,
        };
        self.store.append(vec![append]).await.expect("stored").remove(0)
    }

    /// Makes a group with these members.
    pub(super) async fn group(&self, name: &str, members: &[&str]) -> Group {
        let group: Group = name.parse().expect("a name");
        let record = GroupRecord {
            group: group.clone(),
            open: false,
            name: None,
            owner: None,
            created_at: 0,
            members: 0,
        };
        self.store.put_group(record).await.expect("made");
        self.store.add_members(&group, members.iter().map(|name| user(name)).collect()).await.expect("added");
        group
    }

    /// Adds a member and answers the hint about it.
    pub(super) async fn add(&self, group: &Group, name: &str) -> Payload {
        let changed = self.store.add_members(group, vec![user(name)]).await.expect("added").expect("a group");
        Payload::Membership(MembershipChange {
            group: group.clone(),
            members_version: changed.members_version,
            users: changed.changed,
        })
    }

    /// Removes a member and answers the hint about it.
    pub(super) async fn remove(&self, group: &Group, name: &str) -> Payload {
        let changed =
            self.store.remove_members(group, vec![user(name)]).await.expect("removed").expect("a group");
        Payload::Membership(MembershipChange {
            group: group.clone(),
            members_version: changed.members_version,
            users: changed.changed,
        })
    }

    /// Keeps only so many messages of each conversation.
    pub(super) async fn trim(&self, count: u64) {
        let policy = RetentionPolicy { age_ms: 0, count };
        let step = self.store.trim(policy, Progress::default()).await.expect("trimmed");
        assert_eq!(step.next, None, "one step is enough here");
    }

    /// Takes all messages of a conversation, as if they were too old.
    pub(super) async fn trim_by_age(&self, conversation: &Conversation) {
        let all = PageRequest {
            conversation: conversation.clone(),
            after: 0,
            before: u64::MAX,
            limit: 1,
            max_bytes: usize::MAX,
            direction: Direction::Forwards,
        };
        let old = RetentionPolicy { age_ms: 1, count: 0 };
        while !self.store.pages(vec![all.clone()]).await.expect("pages")[0].messages.is_empty() {
            self.store.trim(old, Progress::default()).await.expect("trimmed");
        }
    }

    /// A device has confirmed everything of a conversation up to `seq`.
    pub(super) async fn confirmed(&self, connection: &Connection, conversation: &Conversation, seq: u64) {
        let cursors = vec![(conversation.clone(), seq)];
        let moved = CursorMove { key: connection.identity.key.clone(), epoch: connection.epoch(), cursors };
        self.store.move_cursors(vec![moved]).await.expect("moved");
    }

    pub(super) fn deliver(&self, hint: Payload) {
        self.hub.deliver(vec![hint]);
    }

    /// Waits until a condition holds.
    pub(super) async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = time::Instant::now() + BUDGET;
        while !condition() {
            assert!(time::Instant::now() < deadline, "{what}");
            tokio::task::yield_now().await;
        }
    }
}

fn hint(stored: &Appended) -> Payload {
    let message = &stored.message;
    Payload::Message(MessageHint {
        conversation: message.conversation.clone(),
        seq: message.seq,
        members_version: stored.members_version,
        origin_session: message.origin_session,
        sent_at: message.sent_at,
        json: Bytes::from(serde_json::to_vec(message.as_ref()).expect("JSON")),
    })
}
