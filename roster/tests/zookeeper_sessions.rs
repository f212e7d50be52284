//! Connections are lost, sessions expire, the server stops: what stays and what comes back.

mod support;

use std::time::{Duration, Instant};

use roster::{Health, Roster, RosterError, Snapshot, Version, ZooKeeperOptions, ZooKeeperRoster};
use servers::ZooKeeper;
use wire::{NodeState, Role};
use zookeeper_client::Client;

use support::{
    Forwarder, SESSION, connect, fresh_root, good, open, options, plain, seen, shared, shows, spear, suspect,
    within,
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
        let server = shared().await.address();
        let wire = Forwarder::to(server.clone()).await;
        let direct = ZooKeeperOptions {
            root: fresh_root(),
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
    let bench = Bench::new().await;
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
    registration.leave().await;
    seen(&bench.witness, "its leaving", empty).await;
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
async fn a_server_that_starts_later_is_found() {
    let mut server = ZooKeeper::start().await;
    server.kill().await;
    let options =
        ZooKeeperOptions { operation_timeout: Duration::from_millis(300), ..options(vec![server.address()]) };
    let roster = open(&options);
    let candidate = roster.clone();
    let elected = tokio::spawn(async move { candidate.elect("e", "n0").await });
    for _ in 0..2 {
        let refused = roster.register(spear("s", 1)).await.err().expect("nobody is there");
        assert!(matches!(refused, RosterError::Unavailable(_)), "{refused}");
    }
    let refused = roster.read("/w").await.expect_err("nobody is there");
    assert!(matches!(refused, RosterError::Unavailable(_)), "{refused}");
    assert_ne!(*roster.health().borrow(), Health::Good);
    assert!(!elected.is_finished(), "it waits without bound");

    server.start_again().await;
    good(&roster).await;
    let registration = roster.register(spear("s", 1)).await.expect("the place is free");
    seen(&roster, "the node", shows("s", 1)).await;
    within("the election", elected).await.expect("it runs").expect("nobody else");
    // What the first two calls may have left to do takes nothing from the third.
    let marker = roster.register(spear("marker", 1)).await.expect("the place is free");
    seen(&roster, "the marker", shows("marker", 1)).await;
    assert!(shows("s", 1)(&roster.watch().borrow()));
    drop((registration, marker));
}

#[tokio::test]
async fn a_server_that_is_killed_comes_back_with_everything() {
    let mut server = ZooKeeper::start().await;
    let options = options(vec![server.address()]);
    let (one, other) = (connect(&options).await, connect(&options).await);
    let registration = one.register(spear("s", 5)).await.expect("the place is free");
    let second = other.register(spear("t", 6)).await.expect("the place is free");
    one.create("/w", b"1").await.expect("it is free");
    one.write("/w", b"2", Version(0)).await.expect("nobody else writes");
    seen(&one, "both", |snapshot| snapshot.nodes().count() == 2).await;
    seen(&other, "both", |snapshot| snapshot.nodes().count() == 2).await;

    // Once within the session time-out, once far beyond it.
    for away in [Duration::ZERO, SESSION * 3] {
        let leader = within("the leader", one.elect("e", "n0")).await.expect("nobody else");
        let mut shown = one.watch();
        server.kill().await;
        suspect(&one).await;
        within("the doubt", leader.lost().cancelled_owned()).await;
        tokio::time::sleep(away).await;
        assert_eq!(shown.borrow_and_update().nodes().count(), 2, "the last good snapshot stays");
        server.start_again().await;
        for roster in [&one, &other] {
            good(roster).await;
            seen(roster, "both", |snapshot| shows("s", 5)(snapshot) && shows("t", 6)(snapshot)).await;
        }
        assert_eq!(one.read("/w").await.expect("a read"), Some((b"2".to_vec(), Version(1))));
    }
    // No old session takes the new nodes with it.
    tokio::time::sleep(SESSION * 2).await;
    for roster in [&one, &other] {
        assert!(shows("s", 5)(&roster.watch().borrow()) && shows("t", 6)(&roster.watch().borrow()));
    }
    for handle in [registration, second] {
        handle.set_state(NodeState::Draining).await.expect("its handle is as good as before");
    }
}

#[tokio::test]
async fn a_server_that_freezes_is_waited_for() {
    let server = ZooKeeper::start().await;
    let options = options(vec![server.address()]);
    let (one, other) = (connect(&options).await, connect(&options).await);
    let registration = one.register(spear("s", 5)).await.expect("the place is free");
    seen(&other, "the node", shows("s", 5)).await;

    // Thawed as soon as the connection is lost, at two fifths of the time-out; then long after the client gave up.
    for away in [Duration::ZERO, SESSION * 2] {
        let leader = within("the leader", one.elect("e", "n0")).await.expect("nobody else");
        let cut_off = one.clone();
        server.freeze();
        // A candidate whose latch is made while nothing answers.
        let candidate = tokio::spawn(async move { cut_off.elect("frozen", "n0").await });
        suspect(&one).await;
        within("the doubt", leader.lost().cancelled_owned()).await;
        tokio::time::sleep(away).await;
        assert!(shows("s", 5)(&other.watch().borrow()), "the last good snapshot stays");
        server.thaw();
        good(&one).await;
        good(&other).await;
        seen(&other, "the same start", shows("s", 5)).await;
        // It has left no second latch that blocks it, or others after it.
        drop(within("the candidate", candidate).await.expect("it runs").expect("nobody else"));
        drop(within("the next", other.elect("frozen", "n1")).await.expect("nobody leads"));
    }
    assert!(!registration.superseded().is_cancelled());
    registration.set_state(NodeState::Draining).await.expect("its handle is as good as before");
}

#[tokio::test]
async fn the_session_ends_with_the_last_handle() {
    let server = ZooKeeper::start().await;
    let roster = connect(&options(vec![server.address()])).await;
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
    assert!(started.elapsed() < SESSION / 2, "it has been closed, and has not expired");
}

async fn sessions(server: &ZooKeeper) -> u64 {
    let text = server.command("mntr").await;
    let line = text.lines().find_map(|line| line.strip_prefix("zk_global_sessions"));
    line.and_then(|number| number.trim().parse().ok()).expect("mntr counts sessions")
}
