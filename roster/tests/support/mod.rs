//! Rosters on a ZooKeeper that the test may treat badly.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its own part")]

mod forwarder;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use roster::{Health, Roster, Snapshot, ZooKeeperOptions, ZooKeeperRoster};
use servers::ZooKeeper;
use tokio::{sync::OnceCell, task::JoinHandle, time::timeout};
use wire::{Incarnation, NodeRecord, NodeState, Role};
use zookeeper_client::Client;

pub use forwarder::Forwarder;

/// How long a test waits for what must come; a session of [`SESSION`] can expire several times in it.
pub const BUDGET: Duration = Duration::from_secs(30);

/// The session time-out of rosters in tests; the server's shortest is 1 s.
pub const SESSION: Duration = Duration::from_secs(2);

/// Where no session shall expire: longer than a busy machine stands still.
pub const PATIENT: Duration = Duration::from_secs(20);

/// The one server that the tests of this process share who do no harm to it.
pub async fn shared() -> &'static ZooKeeper {
    static SERVER: OnceCell<ZooKeeper> = OnceCell::const_new();
    SERVER.get_or_init(ZooKeeper::start).await
}

/// A root that no other test of this process uses.
pub fn fresh_root() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("/phalanx-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub fn options(servers: Vec<String>) -> ZooKeeperOptions {
    ZooKeeperOptions {
        servers,
        session_timeout: SESSION,
        operation_timeout: Duration::from_secs(10),
        ..ZooKeeperOptions::default()
    }
}

/// The same for those that no server is taken from: a connection is given up after 0.4 of a session without a sign of life.
pub fn patient(servers: Vec<String>) -> ZooKeeperOptions {
    ZooKeeperOptions { session_timeout: PATIENT, operation_timeout: PATIENT, ..options(servers) }
}

/// A roster that is good.
pub async fn connect(options: &ZooKeeperOptions) -> ZooKeeperRoster {
    let roster = open(options);
    good(&roster).await;
    roster
}

/// A roster as it is at first.
pub fn open(options: &ZooKeeperOptions) -> ZooKeeperRoster {
    ZooKeeperRoster::open(options.clone()).expect("the options are right")
}

/// Waits until the roster is good.
pub async fn good(roster: &ZooKeeperRoster) {
    let mut health = roster.health();
    within("a good roster", health.wait_for(|health| *health == Health::Good)).await.expect("it is held");
}

/// Waits until the roster is not good.
pub async fn suspect(roster: &ZooKeeperRoster) {
    let mut health = roster.health();
    within("a suspect roster", health.wait_for(|health| *health != Health::Good)).await.expect("it is held");
}

/// Waits until the roster shows what it should.
pub async fn seen(roster: &impl Roster, what: &str, right: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let mut watcher = roster.watch();
    within(what, watcher.wait_for(|snapshot| right(snapshot))).await.expect("it is held").clone()
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(BUDGET, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: did not come within {BUDGET:?}"),
    }
}

pub fn spear(id: &str, incarnation: u64) -> NodeRecord {
    NodeRecord {
        id: id.into(),
        role: Role::Spear,
        incarnation: Incarnation(incarnation),
        host: "127.0.0.1".into(),
        port: 30_001,
        public_url: "http://127.0.0.1:30001".into(),
        admin_url: "http://127.0.0.1:30002".into(),
        weight: 1,
        state: NodeState::Up,
        version: "0.1.0".into(),
        started_at: 1_732_150_000_000,
    }
}

/// Whether this start of this spear is shown.
pub fn shows(id: &str, incarnation: u64) -> impl Fn(&Snapshot) -> bool {
    move |snapshot| snapshot.incarnation(Role::Spear, id) == Some(Incarnation(incarnation))
}

/// Fails as soon as the roster shows anything else.
pub fn always(roster: &impl Roster, right: impl Fn(&Snapshot) -> bool + Send + 'static) -> JoinHandle<()> {
    let mut shown = roster.watch();
    tokio::spawn(async move {
        loop {
            let snapshot = shown.borrow_and_update().clone();
            assert!(right(&snapshot), "{snapshot:?}");
            if shown.changed().await.is_err() {
                return;
            }
        }
    })
}

/// A client of the test's own, that no test disturbs by expiring it.
pub async fn plain(address: &str) -> Client {
    Client::connector()
        .with_session_timeout(Duration::from_secs(30))
        .connect(address)
        .await
        .expect("the server runs")
}

/// Deletes what stands there, as an operator would.
pub async fn delete(client: &Client, path: &str) {
    client.delete(path, None).await.expect("it is there");
}
