//! Redis: one server; a primary with replicas and Sentinel; a cluster.

use std::{future::Future, process::Stdio, time::Duration};

use rustix::process::Signal;
use tokio::process::Command;

use crate::{ports::Port, process::Process};

/// The name under which Sentinel knows the primary.
const PRIMARY_NAME: &str = "mymaster";

/// Those with replicas rely on these: what the system has is not lost with a process, and a slow disk holds up no
/// confirmation. To sync before each answer is for one that stands alone.
const UNSYNCED: [&str; 2] = ["--appendfsync", "no"];

/// How long a group of servers may take until it has formed.
const FORMING: Duration = Duration::from_secs(40);

/// One Redis server, with an append-only file that is synced before an answer.
#[derive(Debug)]
pub struct Redis {
    process: Process,
}

impl Redis {
    /// Starts a server, and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further options: `["--appendfsync", "no"]`.
    pub async fn start_with(options: &[&str]) -> Self {
        let mut server = Self::launch("redis", options.iter().map(ToString::to_string).collect());
        server.answers().await;
        server
    }

    fn launch(kind: &'static str, arguments: Vec<String>) -> Self {
        Self { process: Process::start(kind, Port::reserve(), arguments) }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.process.port()
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with its data, and waits until it answers.
    pub async fn start_again(&mut self) {
        self.process.launch();
        self.answers().await;
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// What `redis-cli` prints for a command.
    pub async fn command(&self, words: &[&str]) -> String {
        cli(self.port(), words).await
    }

    async fn answers(&mut self) {
        self.process.until("PONG", |port| async move { cli(port, &["PING"]).await.trim() == "PONG" }).await;
    }

    async fn says(&mut self, what: &str, words: &'static [&'static str], part: &'static str) {
        self.until(what, |port| async move { cli(port, words).await.contains(part) }).await;
    }

    /// Waits until a primary has heard of `replicas` how far they are; of a replica, until it has the primary's data.
    ///
    /// Before its first report, which may take a second, a replica is sent nothing: no `WAIT` would be answered in time.
    async fn in_step(&mut self, replicas: usize) {
        self.until("replicas in step", |port| async move {
            let says = cli(port, &["INFO", "replication"]).await;
            let reported =
                says.lines().filter(|line| line.contains("state=online") && !line.contains("offset=0,"));
            says.contains("master_link_status:up") || reported.count() == replicas
        })
        .await;
    }

    async fn until<F, A>(&mut self, what: &str, answers: F)
    where
        F: Fn(u16) -> A,
        A: Future<Output = bool>,
    {
        self.process.until(what, answers).await;
    }
}

/// A primary with two replicas, watched by three Sentinels.
#[derive(Debug)]
pub struct Replicated {
    /// The primary at the start.
    pub primary: Redis,
    /// Its replicas at the start.
    pub replicas: Vec<Redis>,
    /// The Sentinels.
    pub sentinels: Vec<Redis>,
}

impl Replicated {
    /// Starts all six, and waits until the replicas follow and the Sentinels know one another.
    pub async fn start() -> Self {
        let mut primary = Redis::start_with(&UNSYNCED).await;
        let port = primary.port().to_string();
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(
                Redis::start_with(&[UNSYNCED.as_slice(), &["--replicaof", "127.0.0.1", &port]].concat())
                    .await,
            );
        }
        for replica in &mut replicas {
            replica.says("the primary's data", &["INFO", "replication"], "master_link_status:up").await;
        }
        primary.in_step(2).await;
        let sentinel = || Redis::launch("sentinel", vec![port.clone(), "2".into()]);
        let mut sentinels: Vec<Redis> = (0..3).map(|_| sentinel()).collect();
        for sentinel in &mut sentinels {
            sentinel.says("all servers", &["INFO", "sentinel"], "status=ok,address=").await;
            sentinel
                .says("two replicas and three Sentinels", &["INFO", "sentinel"], "slaves=2,sentinels=3")
                .await;
        }
        Self { primary, replicas, sentinels }
    }

    /// The name under which Sentinel knows the primary.
    pub fn primary_name(&self) -> &'static str {
        PRIMARY_NAME
    }

    /// `host:port` of each Sentinel.
    pub fn sentinel_addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::address).collect()
    }
}

/// Three primaries with a replica each.
#[derive(Debug)]
pub struct RedisCluster {
    /// All six; who is a primary changes with failovers.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts six servers, makes them a cluster, and waits until each of them says that it is in order.
    pub async fn start() -> Self {
        let clustered = [
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes.conf",
            "--cluster-node-timeout",
            "1500",
        ];
        let mut nodes = Vec::new();
        for _ in 0..6 {
            nodes.push(Redis::start_with(&[UNSYNCED.as_slice(), &clustered].concat()).await);
        }
        let addresses: Vec<String> = nodes.iter().map(Redis::address).collect();
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(&addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .stdin(Stdio::null())
            .output();
        let made = tokio::time::timeout(FORMING, made).await.expect("in time").expect("redis-cli can be run");
        assert!(made.status.success(), "no cluster: {}", String::from_utf8_lossy(&made.stdout));
        for node in &mut nodes {
            node.says("a whole cluster", &["CLUSTER", "INFO"], "cluster_state:ok").await;
            node.says("six servers", &["CLUSTER", "INFO"], "cluster_known_nodes:6").await;
        }
        for node in &mut nodes {
            node.in_step(1).await;
        }
        Self { nodes }
    }

    /// `host:port` of each.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::address).collect()
    }
}

async fn cli(port: u16, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(Duration::from_secs(2), output).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}
