//! Messages to rooms: an id, and on to whoever is there. Nothing is stored.
//!
//! A room always goes to the same lane, and a lane has one batch under way, so what one sender sends to one room keeps its
//! order. These are not the lanes of `lanes.rs`: a live room must not wait for other conversations' appends.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rpc::Ids;
use serde::Serialize;
use store::Store;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::Instrument as _;
use wire::{Destination, MessageId, NodeRef, Payload, Room, RoomMessage, RoomMessageHint, time::now_ms};

use crate::{Announcer, Limits, Pending, Refusal, SendRequest, send};

/// Lanes on one node: a relay that is slow for one batch does not hold up every room.
const LANES: usize = 4;
/// The most messages in one batch; bounds its memory.
const BATCH: usize = 512;

/// The message was handed over; the answer to `send` to a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomSent {
    /// Its id.
    pub id: MessageId,
    /// When it was sent, milliseconds since the Unix epoch.
    pub sent_at: i64,
}

struct Job {
    request: SendRequest,
    room: Room,
    deadline: Instant,
    answer: oneshot::Sender<Result<RoomSent, Refusal>>,
}

pub(crate) struct RoomLanes {
    queues: Vec<mpsc::Sender<Job>>,
    hasher: std::hash::RandomState,
    timeout: Duration,
}

impl RoomLanes {
    pub(crate) fn start(
        store: Arc<dyn Store>,
        ids: Arc<dyn Ids>,
        announcer: Announcer,
        limits: &Limits,
    ) -> Self {
        let start_lane = |_| {
            let (queue, jobs) = mpsc::channel((limits.pending_sends / LANES).max(1));
            let lane = Lane { store: store.clone(), ids: ids.clone(), announcer: announcer.clone() };
            tokio::spawn(lane.run(jobs).in_current_span());
            queue
        };
        Self {
            queues: (0..LANES).map(start_lane).collect(),
            hasher: std::hash::RandomState::new(),
            timeout: Duration::from_millis(limits.send_timeout_ms),
        }
    }

    /// Queues a message; what it answers does not depend on when it is polled.
    pub(crate) fn send(&self, request: SendRequest, room: Room) -> Pending<RoomSent> {
        let (answer, pending) = oneshot::channel();
        let lane = self.hasher.hash_one(&room) as usize % self.queues.len();
        let job = Job { request, room, deadline: Instant::now() + self.timeout, answer };
        match self.queues[lane].try_send(job) {
            Ok(()) => Pending::waiting(pending),
            Err(_) => Pending::refused(Refusal::unavailable("too many sends are waiting on this node")),
        }
    }
}

struct Lane {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    announcer: Announcer,
}

impl Lane {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            let now = Instant::now();
            let (waiting, late): (Vec<_>, Vec<_>) = batch.drain(..).partition(|job| job.deadline > now);
            refuse(late, &Refusal::unavailable("the send waited too long on this node"));
            if !waiting.is_empty() {
                self.process(waiting).await;
            }
        }
    }

    async fn process(&self, jobs: Vec<Job>) {
        let routes = match self.routes(&jobs).await {
            Ok(routes) => routes,
            Err(refusal) => return refuse(jobs, &refusal),
        };
        let ids = match self.ids.take(jobs.len()).await {
            Ok(ids) => ids,
            Err(error) => {
                tracing::warn!(%error, sends = jobs.len(), "no ids: sends to rooms are refused");
                return refuse(jobs, &Refusal::unavailable("no message ids can be had"));
            }
        };
        metrics::counter!("phalanx_room_messages_total").increment(jobs.len() as u64);
        let mut hints = Vec::with_capacity(jobs.len() * 2);
        for (Job { request, room, answer, .. }, id) in jobs.into_iter().zip(ids) {
            let (sent_at, origin_session) = (now_ms(), request.author.session);
            let message = message_of(request, room.clone(), id, sent_at);
            // One who went away does not need the answer.
            drop(answer.send(Ok(RoomSent { id, sent_at })));
            // Where this node follows rooms itself, it knows more now than before the ids came.
            let Some(nodes) = self.announcer.room_nodes(&room).or_else(|| routes.get(&room).cloned()) else {
                continue;
            };
            let json = match serde_json::to_vec(&message) {
                Ok(json) => Bytes::from(json),
                Err(error) => {
                    tracing::error!(%error, %id, "a message to a room cannot be encoded");
                    continue;
                }
            };
            let hint = RoomMessageHint { room, origin_session, sent_at, json };
            hints.extend(nodes.into_iter().map(|node| (node, Payload::RoomMessage(hint.clone()))));
        }
        self.announcer.tell(hints).await;
    }

    /// Where the rooms of a batch are, for a node that has no members of its own: one read for all.
    async fn routes(&self, jobs: &[Job]) -> Result<HashMap<Room, Vec<NodeRef>>, Refusal> {
        if self.announcer.follows_rooms() {
            return Ok(HashMap::new());
        }
        let rooms: HashSet<Room> = jobs.iter().map(|job| job.room.clone()).collect();
        let rooms: Vec<Room> = rooms.into_iter().collect();
        let holders = self.store.room_members(rooms.clone()).await?;
        let nodes =
            holders.into_iter().map(|holders| holders.into_iter().map(|holder| holder.node).collect());
        Ok(rooms.into_iter().zip(nodes).collect())
    }
}

fn refuse(jobs: Vec<Job>, refusal: &Refusal) {
    for job in jobs {
        drop(job.answer.send(Err(refusal.clone())));
    }
}

fn message_of(request: SendRequest, room: Room, id: MessageId, sent_at: i64) -> RoomMessage {
    RoomMessage {
        to: Destination::Room(room.clone()),
        room,
        id,
        cid: request.cid,
        from: request.from,
        device: request.author.device,
        kind: request.kind.unwrap_or_else(|| send::DEFAULT_KIND.into()),
        body: request.body,
        sent_at,
    }
}
