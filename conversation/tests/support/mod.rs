//! Conversations on a real store and relay; ids are counted up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use conversation::{Announcer, Conversations, Limits, Refusal, SendRequest, Sent};
use relay::{EmbeddedRelay, Publisher, Relay, Subscription};
use rpc::{Ids, IdsError};
use store::{Author, Connect, DeviceKey, DeviceLimits, GroupRecord, SqliteOptions, SqliteStore, Store};
use wire::{Destination, Device, Group, Hint, Incarnation, MessageId, NodeRef, Payload, User};

/// Ids 1, 2, 3 … while `available`.
struct Counting {
    next: AtomicU64,
    available: Arc<AtomicBool>,
}

#[async_trait]
impl Ids for Counting {
    async fn take(&self, count: usize) -> Result<Vec<MessageId>, IdsError> {
        if !self.available.load(Ordering::Relaxed) {
            return Err(IdsError::Stopped);
        }
        let first = self.next.fetch_add(count as u64, Ordering::Relaxed);
        Ok((first..).take(count).map(MessageId).collect())
    }
}

/// One node's conversations, and a spear that listens.
pub struct Fixture {
    pub conversations: Conversations,
    pub store: Arc<dyn Store>,
    pub ids_available: Arc<AtomicBool>,
    pub spear: NodeRef,
    hints: Subscription,
    _directory: tempfile::TempDir,
}

pub fn user(name: &str) -> User {
    name.parse().expect("a name")
}

pub fn to(name: &str) -> Destination {
    Destination::User(user(name))
}

impl Fixture {
    pub async fn new(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(directory.path(), SqliteOptions::default()).expect("a store"));
        let relay = Arc::new(EmbeddedRelay::new(1000));
        let spear = NodeRef { id: "spear-1".into(), incarnation: Incarnation(1) };
        let hints = relay.subscribe(&spear.id).await.expect("subscribed");
        let me = NodeRef { id: "stat-1".into(), incarnation: Incarnation(1) };
        let ids_available = Arc::new(AtomicBool::new(true));
        let ids = Counting { next: AtomicU64::new(1), available: ids_available.clone() };
        let publisher = Arc::new(Publisher::new(relay, me.clone()));
        let announcer = Announcer::remote(me, publisher);
        let conversations = Conversations::start(store.clone(), Arc::new(ids), announcer, limits);
        Self { conversations, store, ids_available, spear, hints, _directory: directory }
    }

    /// Registers a device of the user on the spear.
    pub async fn connect(&self, name: &str) {
        let key = DeviceKey { user: user(name), device: Device::default() };
        self.store
            .connect(vec![Connect { key, node: self.spear.clone(), limits: DeviceLimits::default() }])
            .await
            .expect("connected");
    }

    pub async fn group(&self, name: &str, members: &[&str]) -> Group {
        let group: Group = name.parse().expect("a name");
        let record = GroupRecord {
            group: group.clone(),
            open: false,
            name: None,
            owner: None,
            created_at: 0,
            members: 0,
        };
        self.conversations.put_group(record).await.expect("made");
        let members = members.iter().map(|name| user(name)).collect();
        self.conversations.add_members(&group, members).await.expect("added");
        group
    }

    /// Sends `body` and waits for the answer.
    pub async fn send(&self, from: &str, to: Destination, body: &str) -> Result<Sent, Refusal> {
        self.conversations.send(request(from, to, None, body)).await
    }

    /// The next hint that reaches the spear.
    pub async fn hint(&mut self) -> Payload {
        let bytes = self.hints.hints.recv().await.expect("a hint");
        Hint::decode(bytes).expect("our own bytes").payload
    }
}

pub fn request(from: &str, to: Destination, cid: Option<&str>, body: &str) -> SendRequest {
    SendRequest {
        from: user(from),
        author: Author { device: None, epoch: 0, session: 0 },
        to,
        cid: cid.map(Into::into),
        kind: None,
        body: serde_json::value::RawValue::from_string(body.to_owned()).expect("JSON").into(),
        members_only: true,
    }
}
