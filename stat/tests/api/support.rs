//! A small world: a cluster in a temporary directory, an idgen, and stat nodes on ports that the system chose.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use boot::{Cluster, NodeContext, Readiness, Shutdown, ShutdownTrigger};
use reqwest::{Client, Method};
use roster::Registration;
use rpc::ShowSecret;
use serde_json::{Value, json};
use stat::{ApiKey, ExportSettings, Limits, Scope, Settings, WebhookSettings};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::Status;
use wire::{
    Incarnation, NodeRecord, NodeState, Role,
    proto::stat::{NodeReport, stat_client::StatClient},
    time::now_ms,
};

use crate::fake_idgen::FakeIdgen;

/// The API key of the stat nodes.
pub(crate) const KEY: &str = "a-key-for-these-tests-only";

/// For each scope a key that has only that one.
pub(crate) const SCOPED: [(Scope, &str); 3] = [
    (Scope::Read, "a-key-for-reading-only"),
    (Scope::Send, "a-key-for-sending-only"),
    (Scope::Manage, "a-key-for-managing-only"),
];

fn scoped((scope, key): (Scope, &str)) -> ApiKey {
    ApiKey { name: scope.as_str().to_owned(), key: key.into(), scopes: vec![scope] }
}

/// How long anything that is waited for may take.
const BUDGET: Duration = Duration::from_secs(20);

/// Everything ends when it is dropped.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    stats: Vec<StatNode>,
    began_at: i64,
    _ids: FakeIdgen,
    _directory: TempDir,
}

struct StatNode {
    readiness: Readiness,
    record: Arc<NodeRecord>,
    shutdown: ShutdownTrigger,
    task: JoinHandle<anyhow::Result<()>>,
}

/// A node that only is in the roster.
pub(crate) struct Registered {
    pub(crate) record: NodeRecord,
    registration: Box<dyn Registration>,
}

/// One stat node, seen from a back end.
pub(crate) struct Api {
    base: String,
    client: Client,
    key: &'static str,
}

impl World {
    pub(crate) async fn start(stats: u32) -> Self {
        Self::start_with(stats, |_| {}).await
    }

    pub(crate) async fn start_with(stats: u32, change: impl FnOnce(&mut Cluster)) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut cluster = Cluster::for_test(directory.path()).await.expect("a cluster");
        change(&mut cluster);
        let ids = FakeIdgen::start(&cluster).await;
        let mut world =
            Self { cluster, stats: Vec::new(), began_at: now_ms(), _ids: ids, _directory: directory };
        for number in 1..=stats {
            let node = StatNode::start(&world.cluster, &format!("stat-{number}")).await;
            world.stats.push(node);
        }
        world
    }

    /// The base URL of a stat node (from 0), and `path`.
    pub(crate) fn url(&self, number: usize, path: &str) -> String {
        format!("{}{path}", self.stats[number].record.public_url)
    }

    pub(crate) fn api(&self, number: usize) -> Api {
        self.api_with(number, KEY)
    }

    /// The same with another key.
    pub(crate) fn api_with(&self, number: usize, key: &'static str) -> Api {
        Api { base: self.url(number, ""), client: Client::new(), key }
    }

    /// What `/readyz` of a stat node (from 0) answers.
    pub(crate) fn readiness(&self, number: usize) -> &Readiness {
        &self.stats[number].readiness
    }

    /// A time of this test's, as reports carry it: `offset_ms` after it began.
    pub(crate) fn time(&self, offset_ms: i64) -> i64 {
        self.began_at + offset_ms
    }

    /// Registers a node; again with the same id: a later start of it.
    pub(crate) async fn register(&self, role: Role, id: &str) -> Registered {
        static STARTS: AtomicU64 = AtomicU64::new(1);
        let mut record = NodeContext::for_test(role, id).record(NodeState::Up);
        record.incarnation =
            Incarnation(record.incarnation.0 + STARTS.fetch_add(1, Ordering::Relaxed) * 2048);
        let registration = self.cluster.roster.register(record.clone()).await.expect("a place in the roster");
        Registered { record, registration }
    }

    /// Reports to a stat node (from 0) over gRPC.
    pub(crate) async fn report(&self, number: usize, from: &Registered, at: i64, counters: &[(&str, f64)]) {
        let report = NodeReport {
            version: 1,
            role: from.record.role.to_string(),
            node: from.record.id.to_string(),
            incarnation: from.record.incarnation.0,
            reported_at: self.time(at),
            counters: counters.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
        };
        let channel = self.stats[number].channel().await;
        let mut client = StatClient::with_interceptor(channel, show_secret(&self.cluster));
        client.report(report).await.expect("it is taken");
    }

    /// The refusal of a report that does not show the cluster secret.
    pub(crate) async fn report_without_secret(&self, number: usize) -> Status {
        let mut client = StatClient::new(self.stats[number].channel().await);
        client
            .report(NodeReport { version: 1, ..NodeReport::default() })
            .await
            .expect_err("it shows no secret")
    }

    /// Asks a stat node (from 0) to end, and waits until it has.
    pub(crate) async fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        self.stats[number].shutdown.request();
        self.ended(number).await
    }

    /// Waits until a stat node (from 0) has ended, and forgets it.
    pub(crate) async fn ended(&mut self, number: usize) -> anyhow::Result<()> {
        let node = self.stats.remove(number);
        tokio::time::timeout(BUDGET, node.task).await??
    }
}

impl StatNode {
    async fn start(cluster: &Cluster, id: &str) -> Self {
        let settings = Settings {
            http_port: 0,
            public_url: String::new(),
            api_keys: [vec![ApiKey::of_all_scopes(KEY)], SCOPED.map(scoped).into()].concat(),
            history_minutes: 5,
            limits: Limits {
                body_bytes: 256 << 10,
                request_timeout_ms: 10_000,
                requests: 100,
                history_nodes: 10,
                counters: 20,
            },
            conversation: conversation::Limits::default(),
            webhooks: WebhookSettings::off(),
            export: ExportSettings::off(),
        };
        let node = NodeContext::for_test(Role::Stat, id);
        let (shutdown, requested) = Shutdown::new(Duration::from_secs(5));
        let task = tokio::spawn(stat::run(settings, node.clone(), cluster.clone(), requested));
        tokio::time::timeout(BUDGET, node.readiness.ready()).await.expect("it becomes ready");
        let mut snapshots = cluster.roster.watch();
        let found = snapshots.wait_for(|snapshot| snapshot.get(Role::Stat, id).is_some()).await;
        let record = found.expect("the roster lives").get(Role::Stat, id).cloned().expect("just found");
        Self { readiness: node.readiness, record, shutdown, task }
    }

    async fn channel(&self) -> tonic::transport::Channel {
        let address = format!("http://{}:{}", self.record.host, self.record.port);
        let endpoint = tonic::transport::Endpoint::from_shared(address).expect("an address");
        endpoint.connect().await.expect("a connection")
    }
}

impl Registered {
    /// As the node itself would.
    pub(crate) async fn show(&self, state: NodeState) {
        self.registration.set_state(state).await.expect("it has its place");
    }

    pub(crate) async fn leave(self) {
        self.registration.leave().await;
    }
}

impl Api {
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str, body: Option<Value>) -> (u16, Value) {
        self.call(Method::DELETE, path, body).await
    }

    /// The status and the body; `null` where there is no body.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status();
        if !status.is_success() {
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        }
        let body = response.bytes().await.expect("a whole answer");
        let body = if body.is_empty() { json!(null) } else { serde_json::from_slice(&body).expect("JSON") };
        (status.as_u16(), body)
    }
}

fn show_secret(cluster: &Cluster) -> ShowSecret {
    ShowSecret::new(&rpc::Secret::new(cluster.secret.expose()))
}

/// Asks until there is an answer, within [`BUDGET`].
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BUDGET;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {BUDGET:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
