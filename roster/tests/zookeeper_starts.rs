//! Several starts of one node at once: the newest stays, and an older one never takes its place.

mod support;

use roster::{Roster, RosterError, Snapshot, ZooKeeperOptions};
use wire::{Incarnation, NodeState, Role};
use zookeeper_client::Client;

use support::{connect, fresh_root, patient, plain, seen, shared, shows, spear, within};

/// Two processes' worth of sessions register the same node, each with several starts at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_starts_at_once_the_newest_stays() {
    const STARTS: u64 = 12;
    let options = ZooKeeperOptions { root: fresh_root(), ..patient(vec![shared().await.address()]) };
    let mut rosters = Vec::new();
    for _ in 0..4 {
        rosters.push(connect(&options).await);
    }
    let history = plain(&options.servers[0]).await;
    for round in 0..8_u64 {
        let id = format!("s{round}");
        let path = format!("{}/nodes/spear/{id}", options.root);
        let watched = tokio::spawn(never_older(history.clone(), path, STARTS));
        let starts: Vec<_> = (1..=STARTS)
            .map(|number| {
                // Another order in each round, and not one session after the other.
                let incarnation = (number * 5 + round * 7) % STARTS + 1;
                let (roster, record) = (rosters[(incarnation % 4) as usize].clone(), spear(&id, incarnation));
                tokio::spawn(async move { (incarnation, roster.register(record).await) })
            })
            .collect();
        let mut registered = Vec::new();
        for start in starts {
            let (incarnation, answer) = within("an answer", start).await.expect("it runs");
            match answer {
                Ok(registration) => registered.push((incarnation, registration)),
                Err(RosterError::Superseded { newer, .. }) => assert!(newer > Incarnation(incarnation)),
                Err(other) => panic!("{other}"),
            }
        }
        for (incarnation, registration) in &registered {
            let superseded = registration.superseded();
            if *incarnation == STARTS {
                assert!(!superseded.is_cancelled());
            } else {
                within("the end of an older start", superseded.cancelled_owned()).await;
                let refused = registration.set_state(NodeState::Draining).await.expect_err("it is older");
                assert!(matches!(refused, RosterError::Superseded { .. }), "{refused}");
            }
        }
        for roster in &rosters {
            seen(roster, "the newest", shows(&id, STARTS)).await;
        }
        within("the newest", watched).await.expect("nothing older came after something newer");
        // All older ones leave; the newest must not feel it.
        registered.retain(|(incarnation, _)| *incarnation == STARTS);
        let (_, newest) = registered.pop().expect("the newest is there");
        newest.set_state(NodeState::Draining).await.expect("it has its place");
        let draining = |snapshot: &Snapshot| {
            snapshot.get(Role::Spear, &id).is_some_and(|node| node.state == NodeState::Draining)
        };
        seen(&rosters[0], "its state", draining).await;
        newest.leave().await;
    }
}

/// Panics where an older start follows a newer one; returns at the newest.
async fn never_older(client: Client, path: String, newest: u64) {
    let mut last = 0;
    loop {
        let (stat, change) = client.check_and_watch_stat(&path).await.expect("the server runs");
        if stat.is_some()
            && let Ok((data, _)) = client.get_data(&path).await
        {
            let record: wire::NodeRecord = serde_json::from_slice(&data).expect("a record");
            assert!(record.incarnation.0 >= last, "{} came after {last}", record.incarnation.0);
            last = record.incarnation.0;
            if last == newest {
                return;
            }
        }
        change.changed().await;
    }
}

#[tokio::test]
async fn the_same_start_may_register_again() {
    let options = ZooKeeperOptions { root: fresh_root(), ..patient(vec![shared().await.address()]) };
    let (one, other) = (connect(&options).await, connect(&options).await);
    let first = one.register(spear("s", 5)).await.expect("the place is free");
    let second =
        one.register(wire::NodeRecord { weight: 7, ..spear("s", 5) }).await.expect("it is the same start");
    let weighs = |snapshot: &Snapshot| snapshot.get(Role::Spear, "s").is_some_and(|node| node.weight == 7);
    seen(&other, "the later record", weighs).await;
    assert!(!first.superseded().is_cancelled() && !second.superseded().is_cancelled());
    first.leave().await;
    let marker = one.register(spear("marker", 1)).await.expect("the place is free");
    let snapshot = seen(&other, "the marker", shows("marker", 1)).await;
    assert!(weighs(&snapshot), "the earlier handle frees nothing");
    second.leave().await;
    seen(&other, "its leaving", |snapshot| snapshot.get(Role::Spear, "s").is_none()).await;
    drop(marker);
}
