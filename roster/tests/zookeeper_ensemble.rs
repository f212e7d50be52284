//! Three servers, of which one fails.

mod support;

use std::time::Duration;

use roster::{Roster, Snapshot, Version, ZooKeeperOptions};
use servers::{Ensemble, ZooKeeper};

use support::{always, connect, good, options, seen, shows, spear, within};

/// Long enough that a new leader is elected within it, whatever else the machine does.
const PATIENT: Duration = Duration::from_secs(20);

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
    let options = ZooKeeperOptions {
        session_timeout: PATIENT,
        operation_timeout: PATIENT,
        ..options(ensemble.addresses())
    };
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
