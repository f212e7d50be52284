//! Three servers, of which one fails.

mod support;

use roster::{Roster, Snapshot, Version, ZooKeeperOptions};
use servers::{Ensemble, ZooKeeper};

use support::{SESSION, always, connect, good, options, patient, seen, shows, spear, suspect, within};

async fn place_of(ensemble: &Ensemble, leads: bool) -> usize {
    for (place, server) in ensemble.servers.iter().enumerate() {
        if ZooKeeper::leads(server).await == leads {
            return place;
        }
    }
    panic!("no server has this part");
}

#[tokio::test]
async fn a_server_of_three_may_fail() {
    let mut ensemble = Ensemble::start().await;
    // A new leader is elected within a session, whatever else the machine does.
    let options = patient(ensemble.addresses());
    let (one, other) = (connect(&options).await, connect(&options).await);
    let registration = one.register(spear("s", 5)).await.expect("the place is free");
    let second = other.register(spear("t", 6)).await.expect("the place is free");
    let both = |snapshot: &Snapshot| shows("s", 5)(snapshot) && shows("t", 6)(snapshot);
    for roster in [&one, &other] {
        seen(roster, "both", both).await;
    }
    let steady = [always(&one, both), always(&other, both)];
    let mut version = one.create("/w", b"0").await.expect("it is free");

    for leads in [true, false] {
        let place = place_of(&ensemble, leads).await;
        ensemble.servers[place].kill().await;
        // A write that needs the new majority; what was not answered may have been done.
        version = within("a write", async {
            loop {
                match other.write("/w", b"1", version).await {
                    Ok(written) => return written,
                    Err(roster::RosterError::Conflict { .. }) => {
                        let (_, read) = other.read("/w").await.expect("a read").expect("it is there");
                        version = read;
                    }
                    Err(error) => assert!(matches!(error, roster::RosterError::Unavailable(_)), "{error}"),
                }
            }
        })
        .await;
        for roster in [&one, &other] {
            good(roster).await;
            let leader = within("a leader", roster.elect("e", "n0")).await.expect("nobody else");
            leader.resign().await;
            let (_, read) = roster.read("/w").await.expect("a read").expect("it is there");
            assert_eq!(read, version, "a read sees what was written elsewhere");
        }
        ensemble.servers[place].start_again().await;
    }
    assert!(version >= Version(2));
    assert!(steady.iter().all(|watching| !watching.is_finished()), "a snapshot has flapped");
    drop((registration, second));
}

#[tokio::test]
async fn a_majority_that_is_lost_stops_nobody_and_comes_back() {
    let mut ensemble = Ensemble::start().await;
    // A session that goes on must be taken up again within it, whatever else the machine does.
    let session = SESSION * 3;
    let options = ZooKeeperOptions { session_timeout: session, ..options(ensemble.addresses()) };
    let (one, other) = (connect(&options).await, connect(&options).await);
    let registration = one.register(spear("s", 5)).await.expect("the place is free");
    let second = other.register(spear("t", 6)).await.expect("the place is free");
    let both = |snapshot: &Snapshot| shows("s", 5)(snapshot) && shows("t", 6)(snapshot);
    for roster in [&one, &other] {
        seen(roster, "both", both).await;
    }
    let steady = [always(&one, both), always(&other, both)];
    let leader = within("the leader", one.elect("e", "n0")).await.expect("nobody else");

    let survivor = place_of(&ensemble, false).await;
    let lost: Vec<usize> = (0..3).filter(|place| *place != survivor).collect();
    for place in &lost {
        ensemble.servers[*place].kill().await;
    }
    for roster in [&one, &other] {
        suspect(roster).await;
    }
    within("the doubt", leader.lost().cancelled_owned()).await;
    // Until the clients have given their sessions up.
    tokio::time::sleep(session * 7 / 4).await;
    for place in &lost {
        ensemble.servers[*place].start_again().await;
    }
    for roster in [&one, &other] {
        good(roster).await;
    }
    // Everything is as good as before: places, elections, and what is watched.
    for handle in [&registration, &second] {
        assert!(!handle.superseded().is_cancelled());
    }
    drop(within("the next leader", other.elect("e", "n1")).await.expect("the first one is in doubt"));
    let third = one.register(spear("u", 1)).await.expect("the place is free");
    seen(&other, "who came later", shows("u", 1)).await;
    third.leave().await;
    seen(&other, "that it has left", |snapshot| !shows("u", 1)(snapshot)).await;
    assert!(steady.iter().all(|watching| !watching.is_finished()), "a snapshot has flapped");
}
