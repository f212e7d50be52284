//! Redis: one server; a primary with replicas and Sentinel; a cluster.

use std::{process::Stdio, time::Duration};

use rustix::process::Signal;
use tokio::process::Command;

use crate::{guard::Guard, ports::Port, process::Process};

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
    /// What redis-cli needs to be let in.
    cli: Vec<String>,
}

impl Redis {
    /// Starts a server, and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further options: `["--appendfsync", "no"]`.
    pub async fn start_with(options: &[&str]) -> Self {
        Self::start_as(None, options).await
    }

    /// Starts one that asks for what the guard asks for.
    pub async fn start_guarded(guard: &Guard) -> Self {
        Self::start_as(Some(guard), &[]).await
    }

    async fn start_as(guard: Option<&Guard>, options: &[&str]) -> Self {
        let port = Port::reserve();
        let mut arguments: Vec<String> = options.iter().map(ToString::to_string).collect();
        arguments.extend(guard.iter().flat_map(|guard| guard.server(port.number)));
        let process = Process::start("redis", port, arguments);
        let mut server = Self { process, cli: guard.map(Guard::cli).unwrap_or_default() };
        server.answers().await;
        server
    }

    /// It need not answer yet.
    fn launch_sentinel(guard: Option<&Guard>, primary: &str) -> Self {
        let port = Port::reserve();
        let mut arguments = vec![primary.to_owned(), "2".into(), "127.0.0.1".into()];
        arguments.extend(guard.iter().flat_map(|guard| guard.sentinel(port.number, PRIMARY_NAME)));
        let process = Process::start("sentinel", port, arguments);
        Self { process, cli: guard.map(Guard::sentinel_cli).unwrap_or_default() }
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
        cli(&self.cli, self.port(), words).await
    }

    async fn answers(&mut self) {
        self.until("PONG", &["PING"], |says| says.trim() == "PONG").await;
    }

    async fn says(&mut self, what: &str, words: &'static [&'static str], part: &'static str) {
        self.until(what, words, |says| says.contains(part)).await;
    }

    /// Waits until a primary has heard of `replicas` how far they are; of a replica, until it has the primary's data.
    ///
    /// Before its first report, which may take a second, a replica is sent nothing: no `WAIT` would be answered in time.
    async fn in_step(&mut self, replicas: usize) {
        self.until("replicas in step", &["INFO", "replication"], |says| {
            let reported =
                says.lines().filter(|line| line.contains("state=online") && !line.contains("offset=0,"));
            says.contains("master_link_status:up") || reported.count() == replicas
        })
        .await;
    }

    /// Waits until what redis-cli prints for a command fits.
    async fn until(&mut self, what: &str, words: &[&str], fits: impl Fn(&str) -> bool) {
        let (login, fits) = (&self.cli, &fits);
        let look = |port| async move { fits(&cli(login, port, words).await) };
        self.process.until(what, look).await;
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
        Self::start_as(None).await
    }

    /// The same with servers and Sentinels that ask for what the guard asks for.
    pub async fn start_guarded(guard: &Guard) -> Self {
        Self::start_as(Some(guard)).await
    }

    async fn start_as(guard: Option<&Guard>) -> Self {
        let mut primary = Redis::start_as(guard, &UNSYNCED).await;
        let port = primary.port().to_string();
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(
                Redis::start_as(guard, &[UNSYNCED.as_slice(), &["--replicaof", "127.0.0.1", &port]].concat())
                    .await,
            );
        }
        for replica in &mut replicas {
            replica.says("the primary's data", &["INFO", "replication"], "master_link_status:up").await;
        }
        primary.in_step(2).await;
        let sentinel = || Redis::launch_sentinel(guard, &port);
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
        Self::start_as(None).await
    }

    /// The same with servers that ask for what the guard asks for, and also encrypt what they tell one another.
    pub async fn start_guarded(guard: &Guard) -> Self {
        Self::start_as(Some(guard)).await
    }

    async fn start_as(guard: Option<&Guard>) -> Self {
        let mut options = UNSYNCED.to_vec();
        options.extend([
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes.conf",
            "--cluster-node-timeout",
            "1500",
        ]);
        if guard.is_some() {
            options.extend(["--tls-cluster", "yes"]);
        }
        let mut nodes = Vec::new();
        for _ in 0..6 {
            nodes.push(Redis::start_as(guard, &options).await);
        }
        let addresses: Vec<String> = nodes.iter().map(Redis::address).collect();
        let made = Command::new("redis-cli")
            .args(guard.map(Guard::cli).unwrap_or_default())
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

async fn cli(login: &[String], port: u16, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(login)
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(Duration::from_secs(10), output).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}
