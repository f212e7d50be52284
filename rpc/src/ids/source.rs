//! Whichever idgen node is active; where several are, one of them by chance, until it fails.

use std::time::Duration;

use metrics::Counter;
use roster::Roster;
use tokio::time;
use tonic::Status;
use wire::{NodeRef, Role, proto::idgen::Run};

use super::{IdOptions, stream::CutStream};
use crate::{channels::Channels, secret::Secret};

/// The pause after every live node failed: doubled each round up to the longest, and between half and all of it is
/// waited, so that the spears do not ask in step. A change in the roster ends it.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

pub(super) struct Source {
    channels: Channels,
    stream: Option<CutStream>,
    /// Who answered last.
    active: Option<NodeRef>,
    attempt_timeout: Duration,
    pause: Duration,
    failures: Counter,
}

impl Source {
    pub(super) fn new(roster: &dyn Roster, secret: &Secret, options: &IdOptions) -> Self {
        Self {
            channels: Channels::new(roster, Role::Idgen, secret),
            stream: None,
            active: None,
            attempt_timeout: options.attempt_timeout,
            pause: PAUSE_MIN,
            failures: metrics::counter!("phalanx_rpc_id_failures_total", options.labels.clone()),
        }
    }

    /// Asks the kept stream, then each live node once, by chance: the one that failed just now last. May be dropped at any time: a
    /// stream that owes an answer is not kept.
    pub(super) async fn cut(&mut self, count: usize) -> Result<Vec<Run>, String> {
        let mut trouble = "no idgen node is in the roster".to_owned();
        let mut failed = None;
        if let Some(mut stream) = self.stream.take() {
            match stream.cut(count, self.attempt_timeout).await {
                Ok(runs) => {
                    self.stream = Some(stream);
                    return Ok(self.answered(runs));
                }
                Err(status) => {
                    trouble = self.failed(&stream.node, &status);
                    failed = Some(stream.node);
                }
            }
        }
        let mut peers = self.channels.peers_by_chance(self.active.as_ref());
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
                    return Ok(self.answered(runs));
                }
                Err(status) => trouble = self.failed(&peer.node, &status),
            }
        }
        Err(trouble)
    }

    /// Waits before the next round.
    pub(super) async fn pause(&mut self) {
        let mut nodes = self.channels.watch();
        nodes.mark_unchanged();
        let waited = self.pause.mul_f64(rand::random_range(0.5..=1.0));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let _ = time::timeout(waited, nodes.changed()).await;
    }

    /// Asks, for as long as it takes, until a node serves ids; the one that it gave is not used.
    pub(super) async fn seek(&mut self) {
        while self.cut(1).await.is_err() {
            self.pause().await;
        }
    }

    fn answered(&mut self, runs: Vec<Run>) -> Vec<Run> {
        self.pause = PAUSE_MIN;
        runs
    }

    fn failed(&self, node: &NodeRef, status: &Status) -> String {
        self.failures.increment(1);
        tracing::debug!(idgen = %node, code = ?status.code(), message = status.message(), "no ids from this node");
        format!("{}: {}", node.id, status.message())
    }
}
