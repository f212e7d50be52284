//! Connections are lost, sessions expire: what stays and what comes back.

mod support;

use std::time::{Duration, Instant};

use roster::{Health, Roster, RosterError, Snapshot, ZooKeeperOptions, ZooKeeperRoster};
use servers::ZooKeeper;
use wire::{NodeState, Role};
use zookeeper_client::Client;

use support::{
    Forwarder, PATIENT, SESSION, connect, fresh_root, good, options, patient, plain, seen, shared, shows,
    spear, suspect, within,
};

/// A roster behind a wire that can be cut, and one beside it that nothing disturbs.
struct Bench {
    wire: Forwarder,
    options: ZooKeeperOptions,
    cut_off: ZooKeeperRoster,
    witness: ZooKeeperRoster,
    client: Client,
}

impl Bench {
    async fn new() -> Self {
        Self::with_sessions(SESSION).await
    }

    async fn with_sessions(session_timeout: Duration) -> Self {
        let server = shared().await.address();
        let wire = Forwarder::to(server.clone()).await;
        let direct = ZooKeeperOptions {
            root: fresh_root(),
            session_timeout,
            operation_timeout: Duration::from_secs(4),
            ..options(vec![server.clone()])
        };
        let options = ZooKeeperOptions { servers: vec![wire.address()], ..direct.clone() };
        Self {
            cut_off: connect(&options).await,
            witness: connect(&direct).await,
            client: plain(&server).await,
            wire,
            options,
        }
    }

    /// Which session owns the node of a spear.
    async fn owner(&self, id: &str) -> i64 {
        let path = format!("{}/nodes/spear/{id}", self.options.root);
        self.client.get_data(&path).await.expect("it is registered").1.ephemeral_owner
    }
}

fn empty(snapshot: &Snapshot) -> bool {
    snapshot.nodes().next().is_none()
}

#[tokio::test]
async fn a_lost_connection_is_no_lost_session() {
    // Cut for less than a session, whatever else the machine does.
    let bench = Bench::with_sessions(SESSION * 3).await;
    let registration = bench.cut_off.register(spear("s", 5)).await.expect("the place is free");
    let other = bench.witness.register(spear("other", 1)).await.expect("the place is free");
    seen(&bench.cut_off, "both", |snapshot| snapshot.nodes().count() == 2).await;
    let owner = bench.owner("s").await;
    let mut shown = bench.cut_off.watch();
    shown.mark_unchanged();
    let leader = within("the leader", bench.cut_off.elect("e", "n0")).await.expect("nobody else");
    let holds = within("another leader", bench.witness.elect("other", "n1")).await.expect("nobody else");
    let cut_off = bench.cut_off.clone();
    let waits = tokio::spawn(async move { cut_off.elect("other", "n0").await });

    bench.wire.cut();
    suspect(&bench.cut_off).await;
    assert!(matches!(*bench.cut_off.health().borrow(), Health::Suspect { since_at } if since_at > 0));
    within("the doubt", leader.lost().cancelled_owned()).await;
    assert!(!shown.has_changed().expect("it is held"), "the last good snapshot stays");
    // What happens meanwhile is missed by the watch of the old connection.
    other.set_state(NodeState::Draining).await.expect("the witness is connected");
    let late = bench.witness.register(spear("late", 1)).await.expect("the place is free");

    bench.wire.mend();
    good(&bench.cut_off).await;
    let now = bench.cut_off.watch().borrow().clone();
    assert_eq!(now.nodes().count(), 3, "what was missed is listed");
    assert_eq!(now.get(Role::Spear, "other").map(|node| node.state), Some(NodeState::Draining));
    assert_eq!(bench.owner("s").await, owner, "the session has gone on");
    // The watch of the new connection works.
    late.leave().await;
    seen(&bench.cut_off, "the leaving", |snapshot| snapshot.nodes().count() == 2).await;
    registration.set_state(NodeState::Draining).await.expect("its handle is as good as before");

    // The lost latch blocks nobody, though its holder has not looked yet.
    within("the next leader", bench.witness.elect("e", "n1")).await.expect("nobody leads");
    drop((leader, holds));
    within("who waited", waits).await.expect("it runs").expect("it is first in the queue");
}

#[tokio::test]
async fn an_expired_session_is_followed_by_another() {
    let bench = Bench::new().await;
    let registration = bench.cut_off.register(spear("s", 5)).await.expect("the place is free");
    registration.set_state(NodeState::Draining).await.expect("it has its place");
    seen(&bench.witness, "the node", shows("s", 5)).await;
    seen(&bench.cut_off, "its own node", shows("s", 5)).await;
    let owner = bench.owner("s").await;
    let leader = within("the leader", bench.cut_off.elect("e", "n0")).await.expect("nobody else");
    let holds = within("another leader", bench.witness.elect("other", "n1")).await.expect("nobody else");
    let cut_off = bench.cut_off.clone();
    let waits = tokio::spawn(async move { cut_off.elect("other", "n0").await });

    bench.wire.cut();
    seen(&bench.witness, "its expiry", empty).await;
    assert!(leader.lost().is_cancelled(), "known before the server lets another one win");
    within("the next leader", bench.witness.elect("e", "n1")).await.expect("the first has expired");
    assert!(shows("s", 5)(&bench.cut_off.watch().borrow()), "the last good snapshot stays");
    let started = Instant::now();
    let (read, created, set, registered) = tokio::join!(
        bench.cut_off.read("/w"),
        bench.cut_off.create("/w", b""),
        registration.set_state(NodeState::Up),
        bench.cut_off.register(spear("late", 1)),
    );
    for failure in [read.map(|_| ()), created.map(|_| ()), set, registered.map(|_| ())] {
        assert!(matches!(failure, Err(RosterError::Unavailable(_))), "{failure:?}");
    }
    assert!(started.elapsed() >= bench.options.operation_timeout, "they have waited");

    bench.wire.mend();
    good(&bench.cut_off).await;
    let back = seen(&bench.witness, "the same start", shows("s", 5)).await;
    assert_eq!(back.get(Role::Spear, "s").map(|node| node.state), Some(NodeState::Draining));
    assert_eq!(back.nodes().count(), 1, "what failed is not done later");
    assert_ne!(bench.owner("s").await, owner);
    assert!(!registration.superseded().is_cancelled(), "a new session is no newer start");
    registration.set_state(NodeState::Up).await.expect("its handle is as good as before");
    drop(holds);
    let won = within("who waited", waits).await.expect("it runs").expect("it takes part again");
    assert!(!won.lost().is_cancelled());

    bench.wire.cut();
    suspect(&bench.cut_off).await;
    let started = Instant::now();
    tokio::join!(registration.leave(), won.resign());
    assert!(started.elapsed() < bench.options.operation_timeout, "who stops does not wait for a lost roster");
    seen(&bench.witness, "its expiry", empty).await;
    bench.wire.mend();
    good(&bench.cut_off).await;
    seen(&bench.cut_off, "an empty cluster", empty).await;
}

#[tokio::test]
async fn an_older_start_that_comes_back_gives_way() {
    let bench = Bench::new().await;
    let older = bench.cut_off.register(spear("s", 5)).await.expect("the place is free");
    seen(&bench.witness, "the older start", shows("s", 5)).await;
    bench.wire.cut();
    suspect(&bench.cut_off).await;
    // Its session lives still, so this replaces a node that is there.
    let newer = bench.witness.register(spear("s", 6)).await.expect("it is newer");
    bench.wire.mend();
    within("the end of the older start", older.superseded().cancelled_owned()).await;

    // The same after an expiry.
    let second = bench.cut_off.register(spear("t", 5)).await.expect("the place is free");
    bench.wire.cut();
    seen(&bench.witness, "its expiry", |snapshot| snapshot.get(Role::Spear, "t").is_none()).await;
    let newest = bench.witness.register(spear("t", 6)).await.expect("the place is free");
    bench.wire.mend();
    within("the end of the older start", second.superseded().cancelled_owned()).await;

    for (id, handle) in [("s", older), ("t", second)] {
        let refused = handle.set_state(NodeState::Draining).await.expect_err("it has no place any more");
        assert!(matches!(refused, RosterError::Superseded { .. }), "{refused}");
        let refused = bench.cut_off.register(spear(id, 5)).await.err().expect("it is older");
        assert!(matches!(refused, RosterError::Superseded { .. }), "{refused}");
        handle.leave().await;
        seen(&bench.cut_off, "the newer start", shows(id, 6)).await;
    }
    good(&bench.cut_off).await;
    for newer in [newer, newest] {
        assert!(!newer.superseded().is_cancelled());
        newer.set_state(NodeState::Draining).await.expect("it has its place");
    }
}

#[tokio::test]
async fn the_session_ends_with_the_last_handle() {
    let server = ZooKeeper::start().await;
    let roster = connect(&patient(vec![server.address()])).await;
    let registration = roster.register(spear("s", 5)).await.expect("the place is free");
    let leader = within("the leader", roster.elect("e", "n0")).await.expect("nobody else");
    drop(roster);
    registration.set_state(NodeState::Draining).await.expect("a handle keeps the session");
    assert_eq!(sessions(&server).await, 1);
    drop(registration);
    assert!(!leader.lost().is_cancelled());
    let started = Instant::now();
    drop(leader);
    within("the end of the session", async {
        while sessions(&server).await > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(started.elapsed() < PATIENT / 2, "it has been closed, and has not expired");
}

async fn sessions(server: &ZooKeeper) -> u64 {
    let text = server.command("mntr").await;
    let line = text.lines().find_map(|line| line.strip_prefix("zk_global_sessions"));
    line.and_then(|number| number.trim().parse().ok()).expect("mntr counts sessions")
}
