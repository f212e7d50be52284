//! ZooKeeper: one server, or an ensemble of three.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::{
    ports::Port,
    process::{Process, ask},
};

/// One ZooKeeper server; its tick is 500 ms, the shortest session 1 s.
#[derive(Debug)]
pub struct ZooKeeper {
    process: Process,
}

impl ZooKeeper {
    /// Starts a server by itself, and waits until it serves.
    pub async fn start() -> Self {
        let mut server = Self { process: Process::start("zookeeper", Port::reserve(), Vec::new()) };
        server.serves().await;
        server
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.process.port())
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with its data, and waits until it serves.
    pub async fn start_again(&mut self) {
        self.process.launch();
        self.serves().await;
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// The answer to a four-letter word: `mntr`, `cons`, `srvr`; empty where the server cannot be reached.
    pub async fn command(&self, word: &str) -> String {
        ask(self.process.port(), word).await.unwrap_or_default()
    }

    /// How many packets each session that is connected here has sent, over the connection that it has now.
    pub async fn packets(&self) -> BTreeMap<String, u64> {
        let field = |line: &str, name: &str| {
            let (_, rest) = line.split_once(name)?;
            Some(rest.split([',', ')']).next().unwrap_or_default().to_owned())
        };
        let text = self.command("cons").await;
        text.lines()
            .filter_map(|line| Some((field(line, "sid=")?, field(line, "recved=")?.parse().ok()?)))
            .collect()
    }

    /// Whether it leads its ensemble.
    pub async fn leads(&self) -> bool {
        self.command("srvr").await.contains("Mode: leader")
    }

    async fn serves(&mut self) {
        // `ruok` is answered before requests are.
        let serves = |port| async move { ask(port, "srvr").await.is_some_and(|text| text.contains("Mode:")) };
        self.process.until("an answer", serves).await;
    }
}

/// Three servers that elect a leader.
#[derive(Debug)]
pub struct Ensemble {
    /// All of them.
    pub servers: Vec<ZooKeeper>,
    /// Those between the servers, kept as long as they run.
    _peer_ports: Vec<Port>,
}

impl Ensemble {
    /// Starts three servers, and waits until each serves.
    pub async fn start() -> Self {
        let peer_ports: Vec<Port> = (0..6).map(|_| Port::reserve()).collect();
        let peers: Vec<String> = peer_ports
            .chunks(2)
            .zip(1..)
            .map(|(pair, id)| format!("server.{id}=127.0.0.1:{}:{}", pair[0].number, pair[1].number))
            .collect();
        let start = |id: usize| {
            let arguments = std::iter::once(id.to_string()).chain(peers.clone()).collect();
            ZooKeeper { process: Process::start("zookeeper", Port::reserve(), arguments) }
        };
        let mut servers: Vec<ZooKeeper> = (1..=3).map(start).collect();
        for server in &mut servers {
            server.serves().await;
        }
        Self { servers, _peer_ports: peer_ports }
    }

    /// `host:port` of each.
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(ZooKeeper::address).collect()
    }
}
