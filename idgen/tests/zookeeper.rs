//! Nodes on a real ZooKeeper, each with a session of its own: a killed node, one that is cut off, an outage.

mod support;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use rpc::{Holder, IdClient, IdOptions, Ids};
use servers::ZooKeeper;
use support::{Process, SESSION, WORKER, eventually};
use wire::{Incarnation, MessageId, NodeRef, Role};

/// Longer than a session, a tick of the server and a lease.
fn patient() -> IdOptions {
    IdOptions { deadline: Duration::from_secs(15), ..IdOptions::default() }
}

/// What a spear has.
fn holding(id: &str) -> IdOptions {
    let node = NodeRef { id: id.into(), incarnation: Incarnation(1) };
    let holder = Some(Holder { role: Role::Spear, node });
    IdOptions { holder, deadline: 2 * SESSION, ..IdOptions::default() }
}

fn is_of_idgen(id: MessageId) -> bool {
    id.0 >> 12 & 1_023 == u64::from(WORKER)
}

async fn one(client: &IdClient) -> MessageId {
    client.take(1).await.expect("ids within the deadline")[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_follows_a_killed_node_and_ids_go_on_growing() {
    let server = ZooKeeper::start().await;
    let (one_process, other, caller) =
        (Process::start(&server).await, Process::start(&server).await, Process::start(&server).await);
    let first = one_process.idgen("idgen-1").await;
    eventually("idgen-1 is active", || first.is_active()).await;
    let second = other.idgen("idgen-2").await;
    eventually("idgen-2 is ready", || second.is_ready()).await;
    let client = caller.client(patient());
    let last = one(&client).await;

    // Given a process that dies: its session is not closed.
    one_process.wire.cut();
    first.kill();
    assert!(one(&client).await > last);
    eventually("the backup says that it is active", || second.is_active()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_serves_nothing_after_the_other_has_begun() {
    let server = ZooKeeper::start().await;
    let (one_process, other) = (Process::start(&server).await, Process::start(&server).await);
    let first = one_process.idgen("idgen-1").await;
    eventually("idgen-1 is active", || first.is_active()).await;
    let second = other.idgen("idgen-2").await;
    eventually("idgen-2 is ready", || second.is_ready()).await;

    one_process.wire.silence();
    let (mut last, mut served_by_second, mut refused) = (MessageId(0), 0, 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while served_by_second < 100 {
        assert!(
            Instant::now() < deadline,
            "{served_by_second} by the second, {refused} refused by the first"
        );
        for (is_second, node) in [(false, &first), (true, &second)] {
            match node.one().await {
                Ok(id) => {
                    assert!(is_second || served_by_second == 0, "the first served {id} after the second");
                    assert!(id > last, "{id} after {last}");
                    last = id;
                    served_by_second += usize::from(is_second);
                }
                Err(_) if is_second => assert_eq!(served_by_second, 0, "the second goes on serving"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused >= 100);
    one_process.wire.mend();
    eventually("the first is a backup", || one_process.is_good() && first.duty() == "backup").await;
    assert!(second.one().await.expect("still active") > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_ids_are_served_again_above_the_ones_before() {
    let mut server = ZooKeeper::start().await;
    let (one_process, other, caller) =
        (Process::start(&server).await, Process::start(&server).await, Process::start(&server).await);
    let (first, second) = (one_process.idgen("idgen-1").await, other.idgen("idgen-2").await);
    let client = caller.client(patient());
    let mut last = one(&client).await;
    for _ in 0..2 {
        server.kill().await;
        eventually("nobody is active", || !first.is_active() && !second.is_active()).await;
        server.start_again().await;
        let next = one(&client).await;
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_zookeeper_is_lost_ids_go_on_and_are_unique() {
    let mut server = ZooKeeper::start().await;
    let (one_process, spear, other_spear) =
        (Process::start(&server).await, Process::start(&server).await, Process::start(&server).await);
    let node = one_process.idgen("idgen-1").await;
    eventually("it is active", || node.is_active()).await;
    let clients = [spear.client(holding("spear-1")), other_spear.client(holding("spear-2"))];
    eventually("both hold a number", || clients.iter().all(|client| client.worker().is_some())).await;
    let mut seen = HashSet::new();
    // A round that nobody waits for longer than the deadline.
    let mut round = async || {
        let mut ids = Vec::new();
        for client in &clients {
            ids.push(one(client).await);
        }
        assert!(ids.iter().all(|id| seen.insert(*id)), "twice: {ids:?}");
        ids
    };
    assert!(round().await.into_iter().all(is_of_idgen));

    // Given a ZooKeeper that freezes, and later dies.
    server.freeze();
    let frozen = Instant::now();
    while round().await.into_iter().any(is_of_idgen) {}
    // Longer than the time after which the client library ends a session itself.
    while frozen.elapsed() < 2 * SESSION {
        assert!(!round().await.into_iter().any(is_of_idgen));
    }
    server.kill().await;
    for _ in 0..500 {
        assert!(!round().await.into_iter().any(is_of_idgen));
    }

    // Given that it is back: the order of the calls is the order of the ids again.
    server.start_again().await;
    while !round().await.into_iter().all(is_of_idgen) {}
    let mut last = MessageId(0);
    for _ in 0..500 {
        for id in round().await {
            assert!(is_of_idgen(id) && id > last, "{id} after {last}");
            last = id;
        }
    }
}
