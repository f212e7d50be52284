//! Signals: typing and the like. Nothing is stored, nobody waits for the relay, and what does not arrive is missed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use store::{Store, StoreError};
use tokio::sync::mpsc;
use tracing::Instrument as _;
use wire::{Code, Destination, Group, NodeRef, Payload, Room, SignalHint, User};

use crate::{Announcer, Limits, Refusal, routes::Routes};

/// Signals of one node that wait for their way; further ones are refused as `unavailable`. At 4 KiB of body each this bounds
/// what a slow store makes pile up to some 16 MiB.
const WAITING: usize = 4_096;
/// The most signals in one batch: one look at the store for all of them.
const BATCH: usize = 256;

/// Something that one user tells others now.
#[derive(Debug, Clone)]
pub struct SignalRequest {
    /// Who tells it.
    pub from: User,
    /// The session that it comes from: that connection does not get it. 0 for a back end.
    pub session: u64,
    /// Whom.
    pub to: Destination,
    /// What kind of signal.
    pub kind: Arc<str>,
    /// Any JSON.
    pub body: Arc<RawValue>,
}

/// The payload of the `signal` event.
#[derive(Serialize)]
struct Signal<'a> {
    from: &'a User,
    to: &'a Destination,
    #[serde(rename = "type")]
    kind: &'a str,
    body: &'a RawValue,
}

/// The queue of one node. One for all, so that a sender's signals keep their order.
pub(crate) struct Signals {
    queue: mpsc::Sender<SignalHint>,
}

impl Signals {
    pub(crate) fn start(store: Arc<dyn Store>, announcer: Announcer) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let routes = Routes::new(store.clone());
        tokio::spawn(Carrier { store, announcer, routes }.run(waiting).in_current_span());
        Self { queue }
    }

    /// Hands a signal over. Who may send to whom is the caller's to know.
    pub(crate) fn send(
        &self,
        request: &SignalRequest,
        limits: &Limits,
        body_bytes: usize,
    ) -> Result<(), Refusal> {
        let SignalRequest { from, session, to, kind, body } = request;
        if body.get().len() > body_bytes {
            let message = format!("body: has {} bytes, at most {body_bytes} are allowed", body.get().len());
            return Err(Refusal::new(Code::TooLarge, message));
        }
        crate::send::bounded("type", Some(kind.as_ref()), limits.type_bytes)?;
        let encoded = serde_json::to_vec(&Signal { from, to, kind: kind.as_ref(), body: body.as_ref() });
        let json = Bytes::from(encoded.map_err(|error| Refusal::bad_request(error.to_string()))?);
        let hint = SignalHint { to: to.clone(), origin_session: *session, json };
        self.queue
            .try_send(hint)
            .map_err(|_| Refusal::unavailable("too many signals are waiting on this node"))
    }
}

struct Carrier {
    store: Arc<dyn Store>,
    announcer: Announcer,
    routes: Routes,
}

impl Carrier {
    async fn run(self, mut waiting: mpsc::Receiver<SignalHint>) {
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let nodes = match self.nodes(&batch).await {
                Ok(nodes) => nodes,
                Err(error) => {
                    metrics::counter!("phalanx_signals_dropped_total").increment(batch.len() as u64);
                    tracing::warn!(%error, signals = batch.len(), "it cannot be found out where signals go: they are dropped");
                    batch.clear();
                    continue;
                }
            };
            metrics::counter!("phalanx_signals_total").increment(batch.len() as u64);
            let hints = batch.drain(..).flat_map(|signal| {
                let nodes = nodes.of(&signal.to).to_vec();
                nodes.into_iter().map(move |node| (node, Payload::Signal(signal.clone())))
            });
            self.announcer.tell(hints.collect()).await;
        }
    }

    async fn nodes(&self, batch: &[SignalHint]) -> Result<Nodes, StoreError> {
        let (mut users, mut groups, mut rooms) = (HashSet::new(), HashSet::new(), HashSet::new());
        for signal in batch {
            match &signal.to {
                Destination::User(user) => drop(users.insert(user.clone())),
                Destination::Group(group) => drop(groups.insert(group.clone())),
                Destination::Room(room) => drop(rooms.insert(room.clone())),
            }
        }
        let mut nodes = Nodes::default();
        if !users.is_empty() {
            let users: Vec<User> = users.into_iter().collect();
            for (user, presence) in users.iter().zip(self.store.presence(users.clone()).await?) {
                let held: HashSet<NodeRef> = presence.devices.into_iter().map(|device| device.node).collect();
                nodes.users.insert(user.clone(), held.into_iter().collect());
            }
        }
        let groups: Vec<Group> = groups.into_iter().collect();
        nodes.groups.extend(groups.iter().cloned().zip(self.routes.recent(&groups).await?));
        let mut unknown = Vec::new();
        for room in rooms {
            match self.announcer.room_nodes(&room) {
                Some(held) => drop(nodes.rooms.insert(room, held)),
                None => unknown.push(room),
            }
        }
        if !unknown.is_empty() {
            for (room, holders) in unknown.iter().zip(self.store.room_members(unknown.clone()).await?) {
                nodes.rooms.insert(room.clone(), holders.into_iter().map(|holder| holder.node).collect());
            }
        }
        Ok(nodes)
    }
}

/// Where the signals of one batch go.
#[derive(Default)]
struct Nodes {
    users: HashMap<User, Vec<NodeRef>>,
    groups: HashMap<Group, Arc<[NodeRef]>>,
    rooms: HashMap<Room, Vec<NodeRef>>,
}

impl Nodes {
    fn of(&self, to: &Destination) -> &[NodeRef] {
        let nodes = match to {
            Destination::User(user) => self.users.get(user).map(Vec::as_slice),
            Destination::Group(group) => self.groups.get(group).map(AsRef::as_ref),
            Destination::Room(room) => self.rooms.get(room).map(Vec::as_slice),
        };
        nodes.unwrap_or_default()
    }
}
