//! Starts real idgen nodes on free ports: in one embedded cluster, or each as a process of its own would be on ZooKeeper.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod deletable;
mod process;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boot::{NodeContext, Shutdown, ShutdownTrigger};
use deletable::Deletable;
use idgen::Mode;
pub(crate) use process::{Process, SESSION};
use roster::EmbeddedRoster;
use rpc::{Channels, IdClient, IdOptions, Secret};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;
use wire::{
    MessageId, Role,
    proto::idgen::{CutRequest, Run, idgen_client::IdgenClient},
};

pub(crate) const SECRET: &str = "the secret of this test";

/// The worker number in the ids of these nodes.
pub(crate) const WORKER: u16 = 5;

/// Generous: the machine may be busy with other tests.
const BUDGET: Duration = Duration::from_secs(30);

/// What nodes are told.
pub(crate) fn settings(mode: Mode) -> idgen::Settings {
    let faults = idgen::FaultSettings::default();
    idgen::Settings { mode, worker: WORKER, reserve_ms: 3_000, lease_ms: 0, faults }
}

/// Waits until `holds` does.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + BUDGET;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {BUDGET:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) struct Cluster {
    pub(crate) roster: EmbeddedRoster,
    deletable: Arc<Deletable>,
    cluster: boot::Cluster,
    stop: CancellationToken,
    _stop: DropGuard,
    _directory: TempDir,
}

impl Cluster {
    pub(crate) async fn start(session_ms: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut cluster = boot::Cluster::for_test(&directory.path().join("boot")).await.expect("a cluster");
        let own = directory.path().join("roster");
        let roster = EmbeddedRoster::open_with(&own, session_ms).await.expect("a roster");
        let deletable = Arc::new(Deletable::new(roster.clone()));
        cluster.roster = deletable.clone();
        cluster.secret = SECRET.into();
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        Self { roster, deletable, cluster, stop, _stop, _directory: directory }
    }

    pub(crate) fn client(&self, options: IdOptions) -> IdClient {
        let stop = self.stop.clone();
        IdClient::spawn(self.cluster.roster.clone(), Secret::new(SECRET), stop, options)
    }

    /// Starts a node, and returns when it takes part.
    pub(crate) async fn idgen(&self, id: &str) -> Node {
        Node::start(&self.cluster, id, Mode::Strict).await
    }

    /// Starts one of several nodes, and returns when it takes part.
    pub(crate) async fn several(&self, id: &str) -> Node {
        Node::start(&self.cluster, id, Mode::Multi).await
    }

    /// Starts one of several nodes, and returns when it is active.
    pub(crate) async fn active(&self, id: &str) -> Node {
        let node = self.several(id).await;
        eventually(&format!("{id} is active"), || node.is_active()).await;
        node
    }

    /// What becomes of ids while the roster is lost.
    pub(crate) fn on_loss(&mut self, what: boot::OnZooKeeperLoss) {
        self.cluster.on_zookeeper_loss = what;
    }

    pub(crate) async fn run_to_end(&self, settings: idgen::Settings) -> anyhow::Result<()> {
        let (_trigger, shutdown) = Shutdown::new(Duration::from_secs(10));
        idgen::run(settings, NodeContext::for_test(Role::Idgen, "idgen-1"), self.cluster.clone(), shutdown)
            .await
    }

    /// Deletes all persistent nodes.
    pub(crate) fn delete_records(&self) {
        self.deletable.delete();
    }

    pub(crate) fn creations(&self) -> usize {
        self.deletable.creations()
    }

    pub(crate) fn reads(&self) -> usize {
        self.deletable.reads()
    }
}

pub(crate) struct Node {
    context: NodeContext,
    trigger: ShutdownTrigger,
    task: JoinHandle<anyhow::Result<()>>,
    cluster: boot::Cluster,
}

impl Node {
    /// Starts it, and returns when it takes part.
    pub(crate) async fn start(cluster: &boot::Cluster, id: &str, mode: Mode) -> Self {
        let context = NodeContext::for_test(Role::Idgen, id);
        let (trigger, shutdown) = Shutdown::new(Duration::from_secs(10));
        let task = tokio::spawn(idgen::run(settings(mode), context.clone(), cluster.clone(), shutdown));
        let node = Self { context, trigger, task, cluster: cluster.clone() };
        eventually(&format!("{id} is registered"), || node.condition("roster") == "registered").await;
        node
    }

    fn condition(&self, name: &str) -> String {
        let report = self.context.readiness.report();
        let found = report.conditions.into_iter().find(|condition| condition.name == name);
        found.map(|condition| condition.detail).unwrap_or_default()
    }

    /// What `/readyz` says it does.
    pub(crate) fn duty(&self) -> String {
        self.condition("idgen")
    }

    pub(crate) fn is_active(&self) -> bool {
        self.duty().starts_with("active")
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.context.readiness.is_ready()
    }

    /// Ends it without a word.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    pub(crate) async fn drain(self) {
        self.trigger.request();
        let ended = tokio::time::timeout(BUDGET, self.task).await.expect("draining is bounded");
        ended.expect("no panic").expect("a clean end");
    }

    /// Sends one request on a stream of its own, and answers how many ids came.
    pub(crate) async fn cut(&self, secret: &str, count: u32) -> Result<u32, Code> {
        Ok(self.runs(secret, count).await?.iter().map(|run| run.count).sum())
    }

    /// One id of this very node.
    pub(crate) async fn one(&self) -> Result<MessageId, Code> {
        Ok(MessageId(self.runs(SECRET, 1).await?[0].first))
    }

    async fn runs(&self, secret: &str, count: u32) -> Result<Vec<Run>, Code> {
        let channels = Channels::new(&*self.cluster.roster, Role::Idgen, &Secret::new(secret));
        let peer = channels.peers(None).into_iter().find(|peer| peer.node == self.context.node_ref());
        let mut client = IdgenClient::new(peer.expect("it is in the roster").channel);
        let requests = tokio_stream::iter([CutRequest { count }]);
        let mut answers = client.cut(requests).await.map_err(|status| status.code())?.into_inner();
        let answer = answers.message().await.map_err(|status| status.code())?.expect("an answer");
        Ok(answer.runs)
    }
}
