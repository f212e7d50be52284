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

#[cfg(test)]
mod tests {
    use roster::{EmbeddedRoster, Registration};
    use tokio::{net::TcpListener, sync::mpsc};
    use tonic::{
        Request, Response, Status,
        service::interceptor::InterceptedService,
        transport::{Server, server::TcpIncoming},
    };
    use wire::{
        Incarnation, NodeRecord, NodeState,
        proto::stat::{
            LoadsRequest, ReportAccepted, SpearLoads,
            stat_server::{Stat, StatServer},
        },
    };

    use super::*;
    use crate::secret::guard;

    struct Keeping(mpsc::UnboundedSender<NodeReport>);

    #[tonic::async_trait]
    impl Stat for Keeping {
        type LoadsStream = tokio_stream::Empty<Result<SpearLoads, Status>>;

        async fn report(&self, request: Request<NodeReport>) -> Result<Response<ReportAccepted>, Status> {
            self.0.send(request.into_inner()).map_err(|_| Status::unavailable("the test has ended"))?;
            Ok(Response::new(ReportAccepted {}))
        }

        async fn loads(&self, _: Request<LoadsRequest>) -> Result<Response<Self::LoadsStream>, Status> {
            Ok(Response::new(tokio_stream::empty()))
        }
    }

    async fn register(roster: &EmbeddedRoster, id: &str, port: u16) -> Box<dyn Registration> {
        let record = NodeRecord {
            id: id.into(),
            role: Role::Stat,
            incarnation: Incarnation(1),
            host: "127.0.0.1".into(),
            port,
            public_url: String::new(),
            admin_url: String::new(),
            weight: 1,
            state: NodeState::Up,
            version: "test".into(),
            started_at: 0,
        };
        roster.register(record).await.expect("registered")
    }

    #[tokio::test]
    async fn a_report_reaches_whichever_stat_lives() {
        let directory = tempfile::tempdir().expect("a directory");
        let roster = Arc::new(EmbeddedRoster::open(directory.path()).await.expect("a roster"));
        let secret = Secret::new("right");
        let node = NodeRef { id: "spear-1".into(), incarnation: Incarnation(7) };
        let client = ReportClient::new(roster.clone(), secret.clone(), Role::Spear, node);
        assert!(matches!(client.send([("users", 1.0)]).await, Err(ReportError::NoNode)));

        let _dead = register(&roster, "stat-1", 1).await;
        assert!(matches!(client.send([("users", 1.0)]).await, Err(ReportError::Refused(_))));

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (sender, mut reports) = mpsc::unbounded_channel();
        let service = InterceptedService::new(StatServer::new(Keeping(sender)), guard(&secret));
        let server = Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(server);
        let _live = register(&roster, "stat-2", port).await;
        client.send([("users", 2.0)]).await.expect("stat-2 takes it");
        let report = reports.recv().await.expect("a report");
        assert_eq!((&*report.role, &*report.node, report.incarnation), ("spear", "spear-1", 7));
        assert_eq!(report.counters["users"], 2.0);

        let stop = CancellationToken::new();
        let running = tokio::spawn(client.run(stop.clone(), || [("users", 3.0)]));
        assert_eq!(reports.recv().await.expect("a report").counters["users"], 3.0);
        stop.cancel();
        running.await.expect("it ends");
        server.abort();
    }
}
