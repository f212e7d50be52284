//! One idgen: a process of its own, with wires to each server of ZooKeeper, and a clock that can be set.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rpc::{Channels, Peer, Secret};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use servers::Wire;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use wire::{Incarnation, Role};

use crate::world::{SECRET, World, eventually};

pub(crate) struct Node {
    pub(crate) id: String,
    /// To each server.
    pub(crate) wires: Vec<Wire>,
    /// How it is asked for ids, whatever the roster says of it.
    pub(crate) peer: Peer,
    child: Child,
    directory: PathBuf,
    /// `host:port` of its admin port.
    admin: String,
}

impl Node {
    /// Starts number `number`, and waits until it is in the roster. An earlier start of it is followed by this one.
    pub(crate) async fn start(world: &World, number: u32, env: &[(&str, &str)]) -> Self {
        let id = format!("idgen-{number}");
        let mut wires = Vec::new();
        for server in world.servers() {
            wires.push(Wire::to(server).await);
        }
        let directory = world.directory().join(&id);
        std::fs::create_dir_all(&directory).expect("a directory");
        let before = world.incarnation(&id);
        let child = spawn(world, number, &directory, &wires, env);
        let mut node = Starting { child, log: directory.join("log") };
        eventually(&format!("{id} is registered"), async || {
            let ended = node.child.try_wait().expect("its state is known");
            assert!(ended.is_none(), "{id} ended: {ended:?}\n{}", tail(&node.log));
            world.incarnation(&id) > before
        })
        .await;
        let snapshot = world.roster().watch().borrow().clone();
        let record =
            snapshot.of_role(Role::Idgen).find(|record| *record.id == id).expect("it is registered").clone();
        let channels = Channels::new(&**world.roster(), Role::Idgen, &Secret::new(SECRET));
        let peer = channels
            .peers(None)
            .into_iter()
            .find(|peer| peer.node == record.node_ref())
            .expect("it is there");
        let admin = record.admin_url.trim_start_matches("http://").to_owned();
        Self { id, wires, peer, child: node.child, directory, admin }
    }

    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it has ended");
    }

    /// SIGTERM; it need not have ended when this returns.
    pub(crate) fn drain(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end after [`Node::drain`].
    pub(crate) async fn drained(&mut self) {
        let child = &mut self.child;
        eventually("it has ended", async || {
            child
                .try_wait()
                .expect("its state is known")
                .map(|status| assert!(status.success(), "{status}"))
                .is_some()
        })
        .await;
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sets its wall clock by so many milliseconds from the right time, and waits until it has noticed.
    pub(crate) async fn set_clock(&self, by_ms: i64) {
        // Renamed into place: it is never seen half written.
        let written = self.directory.join("clock.new");
        std::fs::write(&written, by_ms.to_string()).expect("written");
        std::fs::rename(written, self.directory.join("clock")).expect("in place");
        let text = format!("moved by {by_ms} ms");
        eventually(&text, async || self.condition("faults").await.contains(&text)).await;
    }

    /// What `/readyz` says of ids; empty while it does not answer.
    pub(crate) async fn duty(&self) -> String {
        self.condition("idgen").await
    }

    pub(crate) async fn is_active(&self) -> bool {
        self.duty().await.starts_with("active")
    }

    pub(crate) async fn is_ready(&self) -> bool {
        self.readiness().await["ready"] == true
    }

    /// One line of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = get(&self.admin, "/metrics").await.unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} is missing in {text}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }

    async fn condition(&self, name: &str) -> String {
        let report = self.readiness().await;
        let conditions = report["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition["name"] == name);
        found.and_then(|condition| condition["detail"].as_str().map(Into::into)).unwrap_or_default()
    }

    async fn readiness(&self) -> Value {
        let body = get(&self.admin, "/readyz").await.unwrap_or_default();
        serde_json::from_str(&body).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("it can be signalled");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing can be done about one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the log of {} ends:\n{}", self.id, tail(&self.directory.join("log")));
        }
    }
}

/// A process whose place in the roster is not known yet.
struct Starting {
    child: Child,
    log: PathBuf,
}

fn spawn(world: &World, number: u32, directory: &Path, wires: &[Wire], env: &[(&str, &str)]) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log")).expect("a log");
    let servers: Vec<String> = wires.iter().map(Wire::address).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
    command
        .args(["idgen", "--instance", &number.to_string(), "--profile", "test2"])
        .args(["--end-with", &std::process::id().to_string()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PHALANX__CLUSTER__DATA_DIR", directory)
        .env("PHALANX__CLUSTER__SECRET", SECRET)
        .env("PHALANX__CLUSTER__TICKET_KEY", "the-key-that-signs-tickets-in-a-test-cluster")
        .env("PHALANX__JWT__HS256_SECRET", "the-key-of-a-back-end-that-signs-tokens-in-tests")
        .env("PHALANX__STAT__API_KEYS", r#"["the-api-key-of-the-tests"]"#)
        .env("PHALANX__MINIONS_UI__API_KEY", "the-api-key-of-the-tests")
        .env("PHALANX__INSTANCE__NAMESPACE", "")
        .env("PHALANX__ZOOKEEPER__SERVERS", serde_json::json!(servers).to_string())
        .env("PHALANX__ZOOKEEPER__SESSION_TIMEOUT_MS", world.session_ms().to_string())
        .env("PHALANX__IDGEN__INSTANCES", "3")
        .env("PHALANX__IDGEN__PORT", "0")
        .env("PHALANX__IDGEN__ADMIN__PORT", "0")
        .env("PHALANX__IDGEN__FAULTS__CLOCK_FILE", directory.join("clock"))
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the same log"))
        .stderr(log);
    command.spawn().expect("the program can be started")
}

/// The body of an answer; nothing where there is none in time.
async fn get(admin: &str, path: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), asked).await.ok().flatten()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Which start of a node is registered; 0 for none.
pub(crate) fn incarnation_in(snapshot: &Arc<roster::Snapshot>, id: &str) -> Incarnation {
    let found = snapshot.of_role(Role::Idgen).find(|record| *record.id == *id);
    found.map_or(Incarnation(0), |record| record.incarnation)
}
