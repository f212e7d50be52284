//! Strict mode: ids are unique, and of two calls that do not overlap the later one gets the higher ids, whatever happens.

use std::time::Duration;

use wire::Incarnation;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::{
    node::Node,
    world::{World, eventually},
};

const HOUR_MS: i64 = 3_600_000;

/// A clean hand-over: 0.2 to 0.4 s where the machine has nothing else to do.
const HAND_OVER: Duration = Duration::from_secs(3);

/// What a backup may take beyond the end of the session of the one that died.
const FAIL_OVER: Duration = Duration::from_secs(1);

/// Short, so that a session ends soon; a busy machine stands still for less than the 0.4 of it after which a connection is given up.
const SESSION_MS: u64 = 6_000;

/// Two nodes that callers ask all the while: the first is active.
async fn pair(world: &World) -> (Node, Node) {
    let first = start(world, 1).await;
    eventually("idgen-1 is active", async || first.is_active().await).await;
    let second = start(world, 2).await;
    eventually("idgen-2 is a backup", async || second.duty().await == "backup").await;
    world.ask_any(3);
    world.served_by("idgen-1", 50).await;
    (first, second)
}

async fn start(world: &World, number: u32) -> Node {
    let node = Node::start(world, number, &[]).await;
    world.ask(&node, 4);
    node
}

async fn judge(world: &World) {
    let history = world.rest().await;
    history.is_increasing().expect("the later one of two calls gets the higher ids");
    println!("{} calls, all in order", history.calls().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_hand_over_waits_for_nothing() {
    // A lease of 20 s: whoever waited for it would be seen.
    let world = World::start(30_000).await;
    let (mut first, second) = pair(&world).await;
    let asked = world.history.now();
    first.drain();
    world.served_by("idgen-2", 1).await;
    let took = world.history.now() - asked;
    println!("SIGTERM of the active node: ids of the backup after {took:?}");
    assert!(took < HAND_OVER, "{took:?}");
    first.drained().await;
    assert!(second.is_active().await);
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_backup_serves_within_a_session_and_a_second() {
    // A lease of 6 s.
    let session_ms = 9_000;
    let world = World::start(session_ms).await;
    let (mut first, second) = pair(&world).await;
    let killed = world.history.now();
    first.kill().await;
    let ended = async {
        eventually("its session has ended", async || world.incarnation("idgen-1") == Incarnation(0)).await;
        world.history.now()
    };
    let served = async {
        world.served_by("idgen-2", 1).await;
        world.history.now()
    };
    let (ended, served) = tokio::join!(ended, served);
    let took = served - killed;
    println!("kill -9 of the active node: ids of the backup after {took:?} (session {session_ms} ms)");
    // When a session ends is ZooKeeper's affair: the time-out after its last sign of life, rounded up to a tick. The rest is ours.
    let after = served.saturating_sub(ended);
    assert!(after <= FAIL_OVER, "{after:?} after the session's end, {took:?} after the kill");
    // And it comes back as a backup.
    let first = start(&world, 1).await;
    eventually("idgen-1 is a backup", async || first.duty().await == "backup").await;
    assert!(second.is_active().await);
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_set_by_an_hour_on_either_node_change_nothing() {
    let world = World::start(SESSION_MS).await;
    let (mut first, second) = pair(&world).await;
    for by_ms in [HOUR_MS, -HOUR_MS, 0, -HOUR_MS] {
        first.set_clock(by_ms).await;
        world.served_by("idgen-1", 100).await;
    }
    // Given an active node whose clock was an hour ahead and a backup whose clock is an hour behind.
    first.set_clock(HOUR_MS).await;
    world.served_by("idgen-1", 100).await;
    second.set_clock(-HOUR_MS).await;
    first.kill().await;
    world.served_by("idgen-2", 100).await;
    second.set_clock(HOUR_MS).await;
    world.served_by("idgen-2", 100).await;
    // And back again, cleanly, to one whose clock is right.
    let first = start(&world, 1).await;
    first.set_clock(0).await;
    eventually("idgen-1 is a backup", async || first.duty().await == "backup").await;
    second.drain();
    world.served_by("idgen-1", 100).await;
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_frozen_past_its_session_serves_nothing_when_it_wakes() {
    let world = World::start(SESSION_MS).await;
    let (first, second) = pair(&world).await;
    for (active, other) in [(&first, &second), (&second, &first)] {
        active.freeze();
        world.served_by(&other.id, 200).await;
        // These requests began after the other one has served: they wait for the frozen node, and are the first that it reads.
        world.ask(active, 8);
        world.served_by(&other.id, 50).await;
        active.thaw();
        eventually("it is a backup", async || active.duty().await == "backup").await;
        world.served_by(&other.id, 200).await;
    }
    // Shorter than a session: it may go on, or not.
    first.freeze();
    let woken = world.history.now();
    eventually("a second has passed", async || world.history.now() - woken > Duration::from_secs(1)).await;
    first.thaw();
    world.served_by("client", 200).await;
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_both_sides_of_a_partition_only_the_majority_serves() {
    let world = World::ensemble(SESSION_MS).await;
    let (first, second) = pair(&world).await;
    let mut leader = 0;
    for (index, server) in world.servers.iter().enumerate() {
        if server.leads().await {
            leader = index;
        }
    }
    // Given that the host of the active node, and of ZooKeeper's leader, is cut off from the two others.
    world.servers[leader].freeze();
    for (index, (near, far)) in first.wires.iter().zip(&second.wires).enumerate() {
        if index == leader { far.silence() } else { near.silence() }
    }
    let cut = world.served_by("idgen-2", 200).await;
    let since = world.served_by("idgen-2", 200).await;
    assert_eq!(world.history.answered("idgen-1", since), 0);
    // When it is over, the node that was cut off is a backup.
    world.servers[leader].thaw();
    for wire in first.wires.iter().chain(&second.wires) {
        wire.mend();
    }
    eventually("idgen-1 is a backup", async || first.duty().await == "backup").await;
    world.served_by("idgen-2", 200).await;
    assert!(world.history.now() > cut);

    // Given an active node whose writes arrive, and which hears nothing.
    for wire in &second.wires {
        wire.deafen();
    }
    world.served_by("idgen-1", 200).await;
    for wire in &second.wires {
        wire.mend();
    }
    eventually("idgen-2 is a backup", async || second.duty().await == "backup").await;
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_everything_ids_go_on_above_those_before() {
    let mut world = World::start(SESSION_MS).await;
    let (mut first, mut second) = pair(&world).await;
    for round in 0..2 {
        first.kill().await;
        second.kill().await;
        world.servers[0].kill().await;
        world.servers[0].start_again().await;
        (first, second) = (start(&world, 1).await, start(&world, 2).await);
        // A clock that was set back while nobody ran is no excuse.
        first.set_clock(-HOUR_MS * round).await;
        world.served_by("client", 100).await;
    }
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_watermark_stops_ids_says_why_and_can_be_put_back() {
    let world = World::start(SESSION_MS).await;
    let (first, second) = pair(&world).await;
    let zookeeper = Client::connect(&world.servers()[0]).await.expect("it is there");
    let path = "/phalanx/idgen/watermark";
    // Given that the backup has seen it, too: it looks four times a second.
    let (data, _, seen) = zookeeper.get_and_watch_data(path).await.expect("it is there");
    seen.changed().await;
    eventually("idgen-2 is a backup", async || second.duty().await == "backup").await;
    zookeeper.delete(path, None).await.expect("an operator may do that");
    for node in [&first, &second] {
        eventually(&format!("{} refuses", node.id), async || {
            !node.is_ready().await
                && node.duty().await.contains("/idgen/watermark was deleted while idgen ran")
        })
        .await;
    }
    // Nobody makes it anew, nobody serves, and callers learn why.
    assert!(zookeeper.check_stat(path).await.expect("an answer").is_none());
    let since = world.history.now();
    let standing = world.ask_any(1).standing();
    eventually("callers learn why", async || {
        standing.borrow().to_string().contains("/idgen/watermark was deleted while idgen ran")
    })
    .await;
    assert_eq!(world.history.answered("idgen-1", since) + world.history.answered("idgen-2", since), 0);

    // What the message asks for: the record again, at or above what was reserved.
    let mut record: serde_json::Value = serde_json::from_slice(&data).expect("JSON");
    let until_at = record["reserved_until_at"].as_i64().expect("a time") + 60_000;
    record["reserved_until_at"] = until_at.into();
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    zookeeper.create(path, record.to_string().as_bytes(), &open).await.expect("it is free");
    world.served_by("client", 100).await;
    judge(&world).await;
}
