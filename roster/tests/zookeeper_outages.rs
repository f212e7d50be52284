//! The server starts late, dies or freezes, for less and for more than a session.

mod support;

use std::time::Duration;

use roster::{Health, Roster, RosterError, Snapshot, Version, ZooKeeperOptions};
use servers::ZooKeeper;
use wire::NodeState;

use support::{SESSION, always, connect, good, open, options, plain, seen, shows, spear, suspect, within};

#[tokio::test]
async fn a_server_that_starts_later_is_found() {
    let mut server = ZooKeeper::start().await;
    server.kill().await;
    let options =
        ZooKeeperOptions { operation_timeout: Duration::from_secs(3), ..options(vec![server.address()]) };
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
    let session = SESSION * 2;
    let mut server = ZooKeeper::start().await;
    let options = ZooKeeperOptions { session_timeout: session, ..options(vec![server.address()]) };
    let (one, other) = (connect(&options).await, connect(&options).await);
    let registration = one.register(spear("s", 5)).await.expect("the place is free");
    let second = other.register(spear("t", 6)).await.expect("the place is free");
    one.create("/w", b"1").await.expect("it is free");
    one.write("/w", b"2", Version(0)).await.expect("nobody else writes");
    let both = |snapshot: &Snapshot| shows("s", 5)(snapshot) && shows("t", 6)(snapshot);
    for roster in [&one, &other] {
        seen(roster, "both", both).await;
    }
    let steady = [always(&one, both), always(&other, both)];

    // Once within the session time-out, once until the clients have given their sessions up.
    for away in [Duration::ZERO, session * 7 / 4] {
        let leader = within("the leader", one.elect("e", "n0")).await.expect("nobody else");
        server.kill().await;
        suspect(&one).await;
        within("the doubt", leader.lost().cancelled_owned()).await;
        tokio::time::sleep(away).await;
        server.start_again().await;
        for roster in [&one, &other] {
            good(roster).await;
        }
        assert_eq!(one.read("/w").await.expect("a read"), Some((b"2".to_vec(), Version(1))));
    }
    // The nodes are of the new sessions: none goes with an old one.
    let client = plain(&server.address()).await;
    let owners = async || {
        let (s, t) = tokio::join!(
            client.get_data("/phalanx/nodes/spear/s"),
            client.get_data("/phalanx/nodes/spear/t")
        );
        [s.expect("it is there").1.czxid, t.expect("it is there").1.czxid]
    };
    let before = owners().await;
    tokio::time::sleep(session * 3 / 2).await;
    assert_eq!(owners().await, before);
    assert!(steady.iter().all(|watching| !watching.is_finished()), "a snapshot has flapped");
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
