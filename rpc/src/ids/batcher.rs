//! One request in flight; the next one carries what gathered meanwhile.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use metrics::{Counter, Histogram};
use parking_lot::Mutex;
use roster::Roster;
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wire::{MessageId, NodeRef, Role, proto::idgen::Run};

use super::{IDS_PER_REQUEST_MAX, IdOptions, stream::CutStream};
use crate::{channels::Channels, secret::Secret};

/// The pause after every live node failed: doubled each round up to the longest, and between half and all of it is
/// waited, so that the spears do not ask in step. A change in the roster ends it.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// One caller's call. It is abandoned when the caller no longer waits.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) count: usize,
    pub(super) answer: oneshot::Sender<Vec<MessageId>>,
}

pub(super) struct Batcher {
    asks: mpsc::Receiver<Ask>,
    /// What the next request carries, in the order of the calls: [`IDS_PER_REQUEST_MAX`] ids at most.
    batch: VecDeque<Ask>,
    /// The first one that did not fit.
    next: Option<Ask>,
    channels: Channels,
    stream: Option<CutStream>,
    /// Who answered last.
    active: Option<NodeRef>,
    attempt_timeout: Duration,
    trouble: Arc<Mutex<Arc<str>>>,
    metrics: Metrics,
}

struct Metrics {
    requests: Counter,
    failures: Counter,
    ids: Counter,
    seconds: Histogram,
}

impl Metrics {
    fn new(options: &IdOptions) -> Self {
        let labels = || options.labels.clone();
        Self {
            requests: metrics::counter!("phalanx_rpc_id_requests_total", labels()),
            failures: metrics::counter!("phalanx_rpc_id_failures_total", labels()),
            ids: metrics::counter!("phalanx_rpc_ids_total", labels()),
            seconds: metrics::histogram!("phalanx_rpc_id_request_seconds", labels()),
        }
    }
}

impl Batcher {
    pub(super) fn new(
        roster: &dyn Roster,
        secret: &Secret,
        asks: mpsc::Receiver<Ask>,
        options: &IdOptions,
        trouble: Arc<Mutex<Arc<str>>>,
    ) -> Self {
        Self {
            asks,
            batch: VecDeque::new(),
            next: None,
            channels: Channels::new(roster, Role::Idgen, secret),
            stream: None,
            active: None,
            attempt_timeout: options.attempt_timeout,
            trouble,
            metrics: Metrics::new(options),
        }
    }

    /// Serves callers until `stop`, or until none is left. Who still waits then learns it by the dropped channel.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.serve()).await;
    }

    async fn serve(&mut self) {
        let mut pause = PAUSE_MIN;
        while let Some(count) = self.gather().await {
            let started = Instant::now();
            self.metrics.requests.increment(1);
            match self.cut(count).await {
                Ok(runs) => {
                    self.metrics.seconds.record(started.elapsed().as_secs_f64());
                    self.metrics.ids.increment(count as u64);
                    self.hand_out(&runs);
                    pause = PAUSE_MIN;
                }
                Err(trouble) => {
                    *self.trouble.lock() = trouble.into();
                    self.pause(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Fills the batch with what waits, and says how many ids it needs. `None` when no caller can come any more.
    async fn gather(&mut self) -> Option<usize> {
        loop {
            self.batch.retain(|ask| !ask.answer.is_closed());
            let mut count: usize = self.batch.iter().map(|ask| ask.count).sum();
            while let Some(ask) = self.next.take().or_else(|| self.asks.try_recv().ok()) {
                if ask.answer.is_closed() {
                    continue;
                }
                if count + ask.count > IDS_PER_REQUEST_MAX {
                    self.next = Some(ask);
                    break;
                }
                count += ask.count;
                self.batch.push_back(ask);
            }
            if count > 0 {
                return Some(count);
            }
            self.next = Some(self.asks.recv().await?);
        }
    }

    /// Asks the kept stream, then each live node once: the one that failed just now last.
    async fn cut(&mut self, count: usize) -> Result<Vec<Run>, String> {
        let mut trouble = "no idgen node is in the roster".to_owned();
        let mut failed = None;
        if let Some(mut stream) = self.stream.take() {
            match stream.cut(count, self.attempt_timeout).await {
                Ok(runs) => {
                    self.stream = Some(stream);
                    return Ok(runs);
                }
                Err(status) => {
                    trouble = self.failed(&stream.node, &status);
                    failed = Some(stream.node);
                }
            }
        }
        let mut peers = self.channels.peers(self.active.as_ref());
        peers.sort_by_key(|peer| Some(&peer.node) == failed.as_ref());
        for peer in peers {
            let mut stream = match CutStream::open(&peer, self.attempt_timeout).await {
                Ok(stream) => stream,
                Err(status) => {
                    trouble = self.failed(&peer.node, &status);
                    continue;
                }
            };
            match stream.cut(count, self.attempt_timeout).await {
                Ok(runs) => {
                    if self.active.as_ref() != Some(&peer.node) {
                        tracing::info!(idgen = %peer.node, "message ids come from this node now");
                    }
                    self.active = Some(peer.node);
                    self.stream = Some(stream);
                    return Ok(runs);
                }
                Err(status) => trouble = self.failed(&peer.node, &status),
            }
        }
        Err(trouble)
    }

    fn failed(&self, node: &NodeRef, status: &Status) -> String {
        self.metrics.failures.increment(1);
        tracing::debug!(idgen = %node, code = ?status.code(), message = status.message(), "no ids from this node");
        format!("{}: {}", node.id, status.message())
    }

    fn hand_out(&mut self, runs: &[Run]) {
        let mut ids = runs.iter().flat_map(|run| run.first..run.first + u64::from(run.count)).map(MessageId);
        for ask in self.batch.drain(..) {
            // The ids of one who no longer waits are not used.
            let _ = ask.answer.send(ids.by_ref().take(ask.count).collect());
        }
    }

    async fn pause(&mut self, longest: Duration) {
        let mut nodes = self.channels.watch();
        nodes.mark_unchanged();
        let waited = longest.mul_f64(rand::random_range(0.5..=1.0));
        let _ = time::timeout(waited, nodes.changed()).await;
    }
}
