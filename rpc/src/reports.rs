//! What a node counts, to stat: best effort, once a second.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use roster::Roster;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use wire::{
    NodeRef, Role,
    proto::stat::{NodeReport, stat_client::StatClient},
};

use crate::{
    channels::{Channels, Peer},
    secret::Secret,
};

/// How often a node reports.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// All attempts of one report together: less than the interval, so that reports never pile up.
const REPORT_TIMEOUT: Duration = Duration::from_millis(900);

/// One attempt: leaves time for a second stat node when the first one hangs.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(400);

/// Why a report did not arrive. The next one carries totals again, so nothing is lost but freshness.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The roster lists none.
    #[error("no stat node is in the roster")]
    NoNode,
    /// Each live node refused it or did not answer in time.
    #[error("no stat node took the report; the last one answered: {0}")]
    Refused(String),
}

/// Sends a node's reports to any live stat node; stays with the one that answered.
#[derive(Debug)]
pub struct ReportClient {
    channels: Channels,
    role: Role,
    node: NodeRef,
    preferred: Mutex<Option<NodeRef>>,
}

impl ReportClient {
    /// Reports about `node` of `role`.
    pub fn new(roster: Arc<dyn Roster>, secret: Secret, role: Role, node: NodeRef) -> Self {
        let channels = Channels::new(&*roster, Role::Stat, &secret);
        Self { channels, role, node, preferred: Mutex::default() }
    }

    /// Sends one report; returns within 900 ms. Counters are totals since the process started, or gauges.
    ///
    /// # Errors
    /// [`ReportError`]: it may be ignored, the next report says the same and more.
    pub async fn send<K: Into<String>>(
        &self,
        counters: impl IntoIterator<Item = (K, f64)>,
    ) -> Result<(), ReportError> {
        let report = NodeReport {
            version: 1,
            role: self.role.as_str().into(),
            node: self.node.id.to_string(),
            incarnation: self.node.incarnation.0,
            reported_at: wire::time::now_ms(),
            counters: counters
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect::<HashMap<_, _>>(),
        };
        let deadline = Instant::now() + REPORT_TIMEOUT;
        let preferred = self.preferred.lock().clone();
        let mut failed = ReportError::NoNode;
        for peer in self.channels.peers(preferred.as_ref()) {
            let attempt_end = deadline.min(Instant::now() + ATTEMPT_TIMEOUT);
            match time::timeout_at(attempt_end, attempt(&peer, report.clone())).await {
                Ok(Ok(())) => {
                    *self.preferred.lock() = Some(peer.node);
                    return Ok(());
                }
                Ok(Err(status)) => {
                    failed = ReportError::Refused(format!("{}: {}", peer.node.id, status.message()));
                }
                Err(_) => failed = ReportError::Refused(format!("{}: no answer in time", peer.node.id)),
            }
            *self.preferred.lock() = None;
        }
        metrics::counter!("phalanx_rpc_reports_failed_total", "node" => self.node.id.to_string())
            .increment(1);
        Err(failed)
    }

    /// Reports every second what `counters` supplies, until `stop`. A slow stat delays only the next report.
    pub async fn run<F, C, K>(self, stop: CancellationToken, mut counters: F)
    where
        F: FnMut() -> C + Send,
        C: IntoIterator<Item = (K, f64)> + Send,
        C::IntoIter: Send,
        K: Into<String>,
    {
        let mut ticks = time::interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let current: HashMap<String, f64> =
                counters().into_iter().map(|(name, value)| (name.into(), value)).collect();
            if let Some(Err(error)) = stop.run_until_cancelled(self.send(current)).await {
                tracing::debug!(%error, "a report did not reach stat");
            }
        }
    }
}

async fn attempt(peer: &Peer, report: NodeReport) -> Result<(), tonic::Status> {
    let mut request = tonic::Request::new(report);
    request.set_timeout(ATTEMPT_TIMEOUT);
    StatClient::new(peer.channel.clone()).report(request).await.map(|_| ())
}
