//! How many connections the spears hold, from any live stat node.

use std::{collections::HashMap, sync::Arc, time::Duration};

use roster::Roster;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wire::{
    Incarnation, NodeRef, Role,
    proto::stat::{LoadsRequest, SpearLoads, stat_client::StatClient},
};

use crate::{
    channels::{Channels, Peer},
    secret::Secret,
};

/// The version of the loads that is understood.
const VERSION: u32 = 1;

/// How long a stat node may take to answer, and may then be silent: it tells something about once a second.
const SILENCE: Duration = Duration::from_secs(3);

/// The shortest and longest pause after no stat node had anything to tell.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 500..=1_500;

/// The largest message, in bytes: 10,000 spears with names of 64 bytes are less.
const MESSAGE_BYTES: usize = 1 << 20;

/// How many connections each live spear held when it reported last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loads {
    /// The stat node that said so.
    pub told_by: Arc<str>,
    /// By start of a spear; one that has not reported yet is not there.
    pub connections: HashMap<NodeRef, u64>,
}

/// Subscribes to the loads at one stat node, and at the next one when it falls silent.
#[derive(Debug)]
pub struct LoadClient {
    channels: Channels,
}

impl LoadClient {
    /// Finds stat nodes through `roster`.
    pub fn new(roster: &dyn Roster, secret: &Secret) -> Self {
        Self { channels: Channels::new(roster, Role::Stat, secret) }
    }

    /// Calls `heard` with all loads, about once a second while the spears report, until `stop`. What is told is at most some
    /// three seconds old when it comes: a second each for the report, for its reading, and for the way.
    pub async fn run(self, stop: CancellationToken, mut heard: impl FnMut(Loads) + Send) {
        stop.run_until_cancelled(async {
            loop {
                for peer in self.channels.peers(None) {
                    let ended = follow(&peer, &mut heard).await;
                    tracing::debug!(node = %peer.node, error = ended.message(), "no loads from this stat node");
                }
                let pause = rand::random_range(PAUSE_MS);
                time::sleep(Duration::from_millis(pause)).await;
            }
        })
        .await;
    }
}

/// Returns when this node tells nothing any more, and why.
async fn follow(peer: &Peer, heard: &mut (impl FnMut(Loads) + Send)) -> Status {
    let mut client = StatClient::new(peer.channel.clone()).max_decoding_message_size(MESSAGE_BYTES);
    let silent = || Status::deadline_exceeded("it is silent");
    let call = time::timeout(SILENCE, client.loads(LoadsRequest { version: VERSION })).await;
    let mut stream = match call.unwrap_or_else(|_| Err(silent())) {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        match time::timeout(SILENCE, stream.message()).await.unwrap_or_else(|_| Err(silent())) {
            Ok(Some(told)) => heard(understood(&peer.node.id, told)),
            Ok(None) => return Status::ok("it has ended"),
            Err(status) => return status,
        }
    }
}

fn understood(told_by: &Arc<str>, told: SpearLoads) -> Loads {
    let connections = told.spears.into_iter().map(|spear| {
        let node = NodeRef { id: spear.node.into(), incarnation: Incarnation(spear.incarnation) };
        (node, spear.connections)
    });
    Loads { told_by: told_by.clone(), connections: connections.collect() }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use roster::{EmbeddedRoster, Registration};
    use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
    use tokio_stream::{Stream, wrappers::UnboundedReceiverStream};
    use tonic::{
        Request, Response,
        service::interceptor::InterceptedService,
        transport::{Server, server::TcpIncoming},
    };
    use wire::{
        NodeRecord, NodeState,
        proto::stat::{
            NodeReport, ReportAccepted, SpearLoad,
            stat_server::{Stat, StatServer},
        },
    };

    use super::*;
    use crate::secret::guard;

    const BUDGET: Duration = Duration::from_secs(20);

    type Telling = mpsc::UnboundedSender<Result<SpearLoads, Status>>;

    /// Hands each subscription to the test, which tells what it wants.
    struct Fake(mpsc::UnboundedSender<Telling>);

    #[tonic::async_trait]
    impl Stat for Fake {
        type LoadsStream = Pin<Box<dyn Stream<Item = Result<SpearLoads, Status>> + Send>>;

        async fn report(&self, _: Request<NodeReport>) -> Result<Response<ReportAccepted>, Status> {
            Ok(Response::new(ReportAccepted {}))
        }

        async fn loads(&self, _: Request<LoadsRequest>) -> Result<Response<Self::LoadsStream>, Status> {
            let (telling, told) = mpsc::unbounded_channel();
            self.0.send(telling).map_err(|_| Status::unavailable("the test has ended"))?;
            Ok(Response::new(Box::pin(UnboundedReceiverStream::new(told))))
        }
    }

    /// A stat node, and its subscriptions.
    struct Node {
        subscriptions: mpsc::UnboundedReceiver<Telling>,
        server: JoinHandle<()>,
        _registered: Box<dyn Registration>,
    }

    async fn node(roster: &EmbeddedRoster, id: &str, secret: &Secret) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (sender, subscriptions) = mpsc::unbounded_channel();
        let service = InterceptedService::new(StatServer::new(Fake(sender)), guard(secret));
        let server = Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(async move { server.await.expect("it serves") });
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
        let registered = roster.register(record).await.expect("registered");
        Node { subscriptions, server, _registered: registered }
    }

    async fn within<T>(future: impl Future<Output = Option<T>>) -> T {
        time::timeout(BUDGET, future).await.expect("in time").expect("it goes on")
    }

    fn one_spear(connections: u64) -> SpearLoads {
        SpearLoads {
            read_at: 1,
            spears: vec![SpearLoad { node: "spear-1".into(), incarnation: 7, connections }],
        }
    }

    #[tokio::test]
    async fn the_next_stat_node_is_asked_when_one_falls_silent_refuses_or_ends() {
        let directory = tempfile::tempdir().expect("a directory");
        let roster = EmbeddedRoster::open(directory.path()).await.expect("a roster");
        let secret = Secret::new("right");
        let mut first = node(&roster, "stat-1", &secret).await;
        let mut second = node(&roster, "stat-2", &secret).await;
        let (sender, mut heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let client = LoadClient::new(&roster, &secret);
        let running = tokio::spawn(client.run(stop.clone(), move |loads| {
            sender.send(loads).expect("the test listens");
        }));
        let spear = NodeRef { id: "spear-1".into(), incarnation: Incarnation(7) };

        let telling = within(first.subscriptions.recv()).await;
        telling.send(Ok(one_spear(5))).expect("it listens");
        let loads = within(heard.recv()).await;
        assert_eq!((&*loads.told_by, loads.connections.get(&spear)), ("stat-1", Some(&5)));

        // `telling` is kept: the stream is open, and nothing comes.
        let other = within(second.subscriptions.recv()).await;
        other.send(Ok(one_spear(6))).expect("it listens");
        assert_eq!(&*within(heard.recv()).await.told_by, "stat-2");
        other.send(Err(Status::unavailable("the store is away"))).expect("it listens");
        let again = within(first.subscriptions.recv()).await;
        drop(again);
        within(second.subscriptions.recv()).await;

        stop.cancel();
        running.await.expect("it ends");
        first.server.abort();
        second.server.abort();
        drop(telling);
    }
}
