//! How much work ZooKeeper has, counted in the packets that it received.

mod support;

use std::time::Instant;

use roster::{Roster, Snapshot};
use servers::ZooKeeper;

use support::{PATIENT, connect, good, patient, plain, seen, spear, suspect, within};

const NODES: u64 = 100;

async fn packets(server: &ZooKeeper) -> u64 {
    let text = server.command("mntr").await;
    let line = text.lines().find_map(|line| line.strip_prefix("zk_packets_received"));
    line.and_then(|number| number.trim().parse::<f64>().ok()).expect("mntr counts packets") as u64
}

fn count(wanted: usize) -> impl Fn(&Snapshot) -> bool {
    move |snapshot| snapshot.nodes().count() == wanted
}

/// What the sessions say to stay alive: a ping a fifth of a time-out at the most.
fn pings(sessions: u64, since: Instant) -> u64 {
    sessions * (5 * since.elapsed().as_millis() as u64 / PATIENT.as_millis() as u64 + 2)
}

#[tokio::test]
async fn nodes_that_come_and_go_cost_bounded_work() {
    let server = ZooKeeper::start().await;
    let options = patient(vec![server.address()]);
    let (registrar, watcher) = (connect(&options).await, connect(&options).await);
    // Many nodes that do not change.
    let mut standing = Vec::new();
    for number in 0..NODES {
        standing.push(registrar.register(spear(&format!("stays-{number}"), 1)).await.expect("a free place"));
    }
    seen(&watcher, "those that stay", count(100)).await;
    let quiet = packets(&server).await;
    let alone = Instant::now();

    let mut handles = Vec::new();
    for number in 0..NODES {
        handles.push(registrar.register(spear(&format!("comes-{number}"), 1)).await.expect("a free place"));
    }
    seen(&watcher, "all", count(200)).await;
    let joined = packets(&server).await - quiet;
    // A node costs its registrar two reads, at most one missing fence, a transaction and a watch; and both one read.
    let bound = NODES * 8 + pings(2, alone) + 20;
    assert!(joined <= bound, "{joined} packets for {NODES} nodes that came; at most {bound} were expected");

    let (left, leaving) = (packets(&server).await, Instant::now());
    drop(handles);
    seen(&watcher, "those that stay", count(100)).await;
    seen(&registrar, "those that stay", count(100)).await;
    let went = packets(&server).await - left;
    // A watch taken back, a sync, two reads and a transaction; and both rosters read once.
    let bound = NODES * 7 + pings(2, leaving) + 20;
    assert!(went <= bound, "{went} packets for {NODES} nodes that left; at most {bound} were expected");
    drop(standing);
}

#[tokio::test]
async fn who_waits_in_an_election_wakes_alone() {
    const WAITING: usize = 50;
    let server = ZooKeeper::start().await;
    let roster = connect(&patient(vec![server.address()])).await;
    let client = plain(&server.address()).await;
    let first = within("the leader", roster.elect("e", "n")).await.expect("nobody else");
    let waiting: Vec<_> = (0..WAITING)
        .map(|_| {
            let roster = roster.clone();
            tokio::spawn(async move { roster.elect("e", "n").await })
        })
        .collect();
    within("all latches", async {
        loop {
            let (names, _, change) = client.get_and_watch_children("/phalanx/e").await.expect("it is there");
            if names.len() == WAITING + 1 {
                return;
            }
            change.changed().await;
        }
    })
    .await;
    // Each has looked, and watches another latch; beside them, the nodes are watched.
    let paths = format!("watching {} paths", WAITING + 1);
    within("all watches", async {
        while !server.command("wchs").await.contains(&paths) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (before, since) = (packets(&server).await, Instant::now());
    first.resign().await;
    let (won, _, others) = within("the next leader", futures_util::future::select_all(waiting)).await;
    let woken = packets(&server).await - before;
    won.expect("it runs").expect("nobody else");
    let bound = 8 + pings(2, since);
    assert!(woken <= bound, "{woken} packets for one change of leader; at most {bound} were expected");
    drop(others);
}

#[tokio::test]
async fn a_cluster_that_comes_back_costs_each_process_the_same_few_requests() {
    const SESSIONS: u64 = 20;
    let mut server = ZooKeeper::start().await;
    let options = patient(vec![server.address()]);
    let (mut rosters, mut places) = (Vec::new(), Vec::new());
    for number in 0..SESSIONS {
        let roster = connect(&options).await;
        places.push(roster.register(spear(&format!("s{number}"), 1)).await.expect("the place is free"));
        rosters.push(roster);
    }
    for roster in &rosters {
        seen(roster, "all", count(20)).await;
    }
    server.kill().await;
    for roster in &rosters {
        suspect(roster).await;
    }
    let began = Instant::now();
    server.start_again().await;
    for roster in &rosters {
        good(roster).await;
    }
    let sent = server.packets().await;
    assert_eq!(sent.len() as u64, SESSIONS);
    // Its session and its watches, its own place; then a watch, two listings, and one read of all nodes.
    let bound = 12 + pings(1, began);
    for (session, packets) in sent {
        assert!(packets <= bound, "{session} sent {packets} packets; at most {bound} were expected");
    }
    drop(places);
}
