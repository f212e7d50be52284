//! ZooKeeper, a directory, and callers whose every answer is recorded.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use roster::{Health, Roster, ZooKeeperOptions, ZooKeeperRoster};
use rpc::{IdClient, IdOptions, Ids as _, Secret};
use servers::{Ensemble, ZooKeeper};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{
    Incarnation,
    proto::idgen::{CutRequest, Run, idgen_client::IdgenClient},
};

use crate::{
    history::{Call, History},
    node::{Node, incarnation_in},
};

pub(crate) const SECRET: &str = "the-secret-of-the-nodes-of-a-test-cluster";

/// Generous: the machine may be busy with other tests.
const BUDGET: Duration = Duration::from_secs(60);

/// Between two attempts at a node that refuses.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `holds` does.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + BUDGET;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {BUDGET:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is there besides the nodes.
pub(crate) struct World {
    pub(crate) servers: Vec<ZooKeeper>,
    pub(crate) history: History,
    session_ms: u64,
    roster: Arc<dyn Roster>,
    stop: CancellationToken,
    callers: TaskTracker,
    directory: TempDir,
    _ensemble: Option<Ensemble>,
}

impl World {
    /// One server of ZooKeeper.
    pub(crate) async fn start(session_ms: u64) -> Self {
        Self::on(vec![ZooKeeper::start().await], None, session_ms).await
    }

    /// Three of them.
    pub(crate) async fn ensemble(session_ms: u64) -> Self {
        let mut ensemble = Ensemble::start().await;
        let servers = std::mem::take(&mut ensemble.servers);
        Self::on(servers, Some(ensemble), session_ms).await
    }

    async fn on(servers: Vec<ZooKeeper>, ensemble: Option<Ensemble>, session_ms: u64) -> Self {
        let options = ZooKeeperOptions {
            servers: servers.iter().map(ZooKeeper::address).collect(),
            ..ZooKeeperOptions::default()
        };
        let roster = ZooKeeperRoster::open(options).expect("the options are right");
        let mut health = roster.health();
        let good = health.wait_for(|health| *health == Health::Good);
        tokio::time::timeout(BUDGET, good).await.expect("it is reached").expect("it is held");
        Self {
            servers,
            history: History::new(),
            session_ms,
            roster: Arc::new(roster),
            stop: CancellationToken::new(),
            callers: TaskTracker::new(),
            directory: tempfile::tempdir().expect("a directory"),
            _ensemble: ensemble,
        }
    }

    pub(crate) fn servers(&self) -> Vec<String> {
        self.servers.iter().map(ZooKeeper::address).collect()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn session_ms(&self) -> u64 {
        self.session_ms
    }

    pub(crate) fn roster(&self) -> &Arc<dyn Roster> {
        &self.roster
    }

    pub(crate) fn incarnation(&self, id: &str) -> Incarnation {
        incarnation_in(&self.roster.watch().borrow(), id)
    }

    /// Starts `count` callers that ask this very start of `node` again and again, whether it serves or not.
    pub(crate) fn ask(&self, node: &Node, count: usize) {
        for _ in 0..count {
            let (peer, id, history) = (node.peer.clone(), node.id.clone(), self.history.clone());
            let stop = self.stop.clone();
            self.callers.spawn(async move {
                let asking = async {
                    loop {
                        ask_until_refused(&peer, &id, &history).await;
                        tokio::time::sleep(PAUSE).await;
                    }
                };
                stop.run_until_cancelled(asking).await;
            });
        }
    }

    /// Starts callers that find a node themselves, as spears do; answers are of `node`s called `client`.
    pub(crate) fn ask_any(&self, count: u32) -> IdClient {
        let options = IdOptions { deadline: BUDGET, ..IdOptions::default() };
        let client = IdClient::spawn(self.roster.clone(), Secret::new(SECRET), self.stop.clone(), options);
        for number in 1..=count {
            let (client, history, stop) = (client.clone(), self.history.clone(), self.stop.clone());
            self.callers.spawn(async move {
                let asking = async {
                    loop {
                        let began = history.now();
                        let Ok(ids) = client.take(number as usize).await else { return };
                        let runs = ids.iter().map(|id| Run { first: id.0, count: 1 }).collect();
                        history.add(Call { node: "client".into(), began, ended: history.now(), runs });
                        tokio::task::yield_now().await;
                    }
                };
                stop.run_until_cancelled(asking).await;
            });
        }
        client
    }

    /// Waits until `node` has answered `count` calls that began after now. Answers when that wait began.
    pub(crate) async fn served_by(&self, node: &str, count: usize) -> Duration {
        let since = self.history.now();
        eventually(&format!("{count} answers of {node}"), async || {
            self.history.answered(node, since) >= count
        })
        .await;
        since
    }

    /// Nobody asks any more, and all that was answered is in the history.
    pub(crate) async fn rest(&self) -> &History {
        self.stop.cancel();
        self.callers.close();
        tokio::time::timeout(BUDGET, self.callers.wait()).await.expect("callers end");
        &self.history
    }
}

/// One stream: a request at a time, until the node refuses. Nothing is given up after a while: what a node that was frozen answers when
/// it wakes is just what is to be recorded.
async fn ask_until_refused(peer: &rpc::Peer, id: &str, history: &History) {
    let (requests, outgoing) = mpsc::channel(1);
    let mut began = history.now();
    // The first one travels with the opening of the stream.
    if requests.try_send(CutRequest { count: 3 }).is_err() {
        return;
    }
    let mut client = IdgenClient::new(peer.channel.clone());
    let Ok(answers) = client.cut(ReceiverStream::new(outgoing)).await else { return };
    let mut answers = answers.into_inner();
    while let Ok(Some(answer)) = answers.message().await {
        history.add(Call { node: id.into(), began, ended: history.now(), runs: answer.runs });
        began = history.now();
        if requests.send(CutRequest { count: 3 }).await.is_err() {
            return;
        }
    }
}
