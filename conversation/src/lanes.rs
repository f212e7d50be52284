//! Batches of sends, in the order of the calls.
//!
//! A conversation always goes to the same lane, and a lane has one batch under way, so a connection's sends to one
//! conversation keep their order. What arrives while a batch is under way makes up the next one.

use std::{hash::BuildHasher, sync::Arc, time::Duration};

use bytes::Bytes;
use rpc::Ids;
use store::{Append, AppendRefusal, Appended, Routing, Store};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::Instrument as _;
use wire::{Code, Conversation, Destination, MessageHint, NodeRef, Payload};

use crate::{Announcer, Limits, Pending, Refusal, SendRequest, Sent, routes::Routes, send};

/// Lanes on one node: enough that one slow batch does not hold up every conversation.
const LANES: usize = 8;
/// The most sends in one batch; bounds the memory and the time of one append.
const BATCH: usize = 512;

struct Job {
    request: SendRequest,
    conversation: Conversation,
    deadline: Instant,
    answer: oneshot::Sender<Result<Sent, Refusal>>,
}

#[derive(Clone)]
pub(crate) struct Lanes {
    queues: Vec<mpsc::Sender<Job>>,
    hasher: std::hash::RandomState,
    timeout: Duration,
}

impl Lanes {
    pub(crate) fn start(
        store: Arc<dyn Store>,
        ids: Arc<dyn Ids>,
        announcer: Announcer,
        routes: Arc<Routes>,
        limits: &Limits,
    ) -> Self {
        let start_lane = |_| {
            let (queue, jobs) = mpsc::channel((limits.pending_sends / LANES).max(1));
            let lane = Lane {
                store: store.clone(),
                ids: ids.clone(),
                announcer: announcer.clone(),
                routes: routes.clone(),
            };
            tokio::spawn(lane.run(jobs).in_current_span());
            queue
        };
        Self {
            queues: (0..LANES).map(start_lane).collect(),
            hasher: std::hash::RandomState::new(),
            timeout: Duration::from_millis(limits.send_timeout_ms),
        }
    }

    /// Queues a send; what it answers does not depend on when it is polled.
    pub(crate) fn send(&self, request: SendRequest, conversation: Conversation) -> Pending {
        let (answer, pending) = oneshot::channel();
        let lane = self.hasher.hash_one(&conversation) as usize % self.queues.len();
        let job = Job { request, conversation, deadline: Instant::now() + self.timeout, answer };
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
    routes: Arc<Routes>,
}

impl Lane {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            metrics::histogram!("phalanx_send_batch_size").record(batch.len() as f64);
            let now = Instant::now();
            let (waiting, late): (Vec<_>, Vec<_>) = batch.drain(..).partition(|job| job.deadline > now);
            refuse(late, &Refusal::unavailable("the send waited too long on this node"));
            if !waiting.is_empty() {
                self.process(waiting).await;
            }
        }
    }

    async fn process(&self, jobs: Vec<Job>) {
        let ids = match self.ids.take(jobs.len()).await {
            Ok(ids) => ids,
            Err(error) => {
                tracing::warn!(%error, sends = jobs.len(), "no ids: sends are refused");
                return refuse(jobs, &Refusal::unavailable("no message ids can be had"));
            }
        };
        let (appends, answers): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .zip(ids)
            .map(|(job, id)| (append_of(job.request, job.conversation, id), job.answer))
            .unzip();
        let results = match self.store.append(appends).await {
            Ok(results) => results,
            Err(error) => {
                let refusal = Refusal::from(error);
                for answer in answers {
                    // One who went away does not need the answer.
                    drop(answer.send(Err(refusal.clone())));
                }
                return;
            }
        };
        let mut stored = Vec::with_capacity(results.len());
        for (answer, result) in answers.into_iter().zip(results) {
            drop(answer.send(result.as_ref().map(sent).map_err(|&refusal| refused(refusal))));
            stored.extend(result.ok());
        }
        self.announce(stored).await;
    }

    async fn announce(&self, stored: Vec<Appended>) {
        metrics::counter!("phalanx_messages_stored_total")
            .increment(stored.iter().filter(|appended| !appended.duplicate).count() as u64);
        let wanted = stored.iter().filter_map(group_route).collect::<Vec<_>>();
        let mut group_nodes = match self.routes.of(wanted).await {
            Ok(nodes) => nodes.into_iter(),
            Err(error) => {
                tracing::warn!(%error, "the routing of groups cannot be read; members will find the messages in the store");
                Vec::new().into_iter()
            }
        };
        let mut hints = Vec::with_capacity(stored.len() * 2);
        for appended in stored {
            let nodes: Arc<[NodeRef]> = match &appended.routing {
                Routing::Direct(nodes) => nodes.as_slice().into(),
                Routing::Group { .. } => group_nodes.next().unwrap_or_default(),
            };
            if nodes.is_empty() {
                continue;
            }
            let Some(hint) = hint_of(&appended) else { continue };
            hints.extend(nodes.iter().map(|node| (node.clone(), Payload::Message(hint.clone()))));
        }
        self.announcer.tell(hints).await;
    }
}

fn refuse(jobs: Vec<Job>, refusal: &Refusal) {
    for job in jobs {
        drop(job.answer.send(Err(refusal.clone())));
    }
}

fn append_of(request: SendRequest, conversation: Conversation, id: wire::MessageId) -> Append {
    let members_only = request.members_only && matches!(request.to, Destination::Group(_));
    Append {
        conversation,
        id,
        cid: request.cid,
        from: request.from,
        author: request.author,
        to: request.to,
        kind: request.kind.unwrap_or_else(|| send::DEFAULT_KIND.into()),
        body: request.body,
        members_only,
    }
}

fn sent(appended: &Appended) -> Sent {
    let message = &appended.message;
    Sent {
        id: message.id,
        seq: message.seq,
        conversation: message.conversation.clone(),
        sent_at: message.sent_at,
        duplicate: appended.duplicate,
    }
}

fn refused(refusal: AppendRefusal) -> Refusal {
    let code = match refusal {
        AppendRefusal::NoGroup => Code::NotFound,
        AppendRefusal::NotMember => Code::NotMember,
        AppendRefusal::OldEpoch => Code::Forbidden,
    };
    Refusal::new(code, refusal.to_string())
}

fn group_route(appended: &Appended) -> Option<(wire::Group, u64)> {
    match appended.routing {
        Routing::Group { version } => Some((appended.message.conversation.group()?.clone(), version)),
        Routing::Direct(_) => None,
    }
}

fn hint_of(appended: &Appended) -> Option<MessageHint> {
    let message = &appended.message;
    match serde_json::to_vec(message.as_ref()) {
        Ok(json) => Some(MessageHint {
            conversation: message.conversation.clone(),
            seq: message.seq,
            members_version: appended.members_version,
            origin_session: message.origin_session,
            sent_at: message.sent_at,
            json: Bytes::from(json),
        }),
        Err(error) => {
            tracing::error!(%error, id = %message.id, "a stored message cannot be encoded");
            None
        }
    }
}
