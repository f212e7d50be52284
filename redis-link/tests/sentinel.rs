//! A primary that sentinels watch: it is found, found again after a failover, and what replicas must confirm is confirmed.

mod support;

use std::time::{Duration, Instant};

use redis_link::{Link, LinkError, Mode, RedisOptions, Wait};
use servers::Replicated;
use support::{RESPONSE_TIMEOUT, add, each, get, is_unavailable, link, one_replica, set, until_done};

fn link_to(servers: &Replicated) -> Link {
    link(Mode::Sentinel, servers.sentinel_addresses())
}

/// With times so long that a busy machine does not look like one that waits.
fn patient_link_to(servers: &Replicated) -> Link {
    let options = support::options(Mode::Sentinel, servers.sentinel_addresses());
    Link::new(RedisOptions { connect_timeout: PATIENCE, response_timeout: PATIENCE, ..options })
        .expect("options that fit together")
}

const PATIENCE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn the_primary_is_found_and_replicas_confirm() {
    let servers = Replicated::start().await;
    let link = link_to(&servers);
    assert_eq!(*link.owner("any").await.expect("sentinels"), *servers.primary.address());
    let before = link.round_trips();
    link.run(vec![set("a", "1"), set("b", "2")], one_replica()).await.expect("a replica confirms");
    assert_eq!(link.round_trips() - before, 1);
    let too_many = Wait { replicas: 3, timeout: Duration::from_millis(50) };
    let refused = link.run(vec![set("a", "2")], Some(too_many)).await;
    assert!(matches!(refused, Err(LinkError::NotReplicated { wanted: 3, confirmed: 2 })), "{refused:?}");
}

#[tokio::test]
async fn frozen_replicas_confirm_nothing_and_hold_up_no_reader() {
    let servers = Replicated::start().await;
    let link = patient_link_to(&servers);
    link.run(vec![set("a", "1")], one_replica()).await.expect("a replica confirms");
    servers.replicas.iter().for_each(|replica| replica.freeze());
    let wait = Some(Wait { replicas: 1, timeout: Duration::from_secs(60) });
    let writing = link.run(vec![set("a", "2")], wait);
    let reading = async {
        let began = Instant::now();
        for _ in 0..50 {
            link.run(vec![get("a")], None).await.expect("the primary");
        }
        began.elapsed()
    };
    let began = Instant::now();
    let (written, readers_took) = tokio::join!(writing, reading);
    assert!(matches!(written, Err(LinkError::NotReplicated { wanted: 1, confirmed: 0 })), "{written:?}");
    assert!(began.elapsed() < PATIENCE, "however long it may wait, it answers in time");
    assert!(readers_took < PATIENCE / 2, "readers stood behind WAIT for {readers_took:?}");
    servers.replicas.iter().for_each(|replica| replica.thaw());
    until_done("a replica that confirms", || link.run(vec![set("a", "3")], one_replica())).await;
}

#[tokio::test]
async fn a_primary_that_is_killed_is_replaced_and_loses_nothing_that_was_confirmed() {
    let mut servers = Replicated::start().await;
    let link = link_to(&servers);
    let mut confirmed = 0;
    for number in 1..=20 {
        confirmed =
            each::<i64>(link.run(vec![add("n", 1)], one_replica()).await.expect("a replica confirms"))[0];
        assert_eq!(confirmed, number);
    }
    let former = link.owner("any").await.expect("sentinels");
    servers.primary.kill().await;
    let next = until_done("a new primary", || link.run(vec![add("n", 1)], one_replica())).await;
    assert!(each::<i64>(next)[0] > confirmed);
    assert_ne!(link.owner("any").await.expect("sentinels"), former);
}

#[tokio::test]
async fn a_primary_that_is_frozen_is_left_and_not_returned_to() {
    let servers = Replicated::start().await;
    let link = link_to(&servers);
    link.run(vec![set("a", "1")], one_replica()).await.expect("a replica confirms");
    let former = link.owner("any").await.expect("sentinels");
    servers.primary.freeze();
    let began = Instant::now();
    let frozen = link.run(vec![get("a")], None).await;
    assert!(is_unavailable(&frozen), "{frozen:?}");
    assert!(began.elapsed() < RESPONSE_TIMEOUT * 5 / 4, "{:?}", began.elapsed());
    until_done("a new primary", || link.run(vec![set("a", "2")], one_replica())).await;
    servers.primary.thaw();
    until_done("the end of the former primary", || async {
        match servers.primary.command(&["ROLE"]).await.contains("slave") {
            true => Ok(()),
            false => link.run(vec![set("a", "3")], one_replica()).await.map(drop).and_then(|()| {
                Err(LinkError::Unavailable("the former primary does not know yet that it is replaced".into()))
            }),
        }
    })
    .await;
    link.doubt();
    assert_ne!(link.owner("any").await.expect("sentinels"), former);
    let values: Vec<String> = each(link.run(vec![get("a")], None).await.expect("the new primary"));
    assert_eq!(values, ["3"]);
}

#[tokio::test]
async fn callers_that_stop_waiting_early_find_the_next_primary_too() {
    let servers = Replicated::start().await;
    let link = link_to(&servers);
    link.run(vec![set("a", "1")], one_replica()).await.expect("a replica confirms");
    servers.primary.freeze();
    let patience = support::CONNECT_TIMEOUT + Duration::from_millis(100);
    until_done("a new primary", || async {
        match tokio::time::timeout(patience, link.run(vec![set("a", "2")], None)).await {
            Ok(result) => result,
            Err(_) => Err(LinkError::Unavailable("too slow for this caller".into())),
        }
    })
    .await;
    servers.primary.thaw();
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_left() {
    let servers = Replicated::start().await;
    let link = link_to(&servers);
    link.run(vec![set("a", "1")], one_replica()).await.expect("a replica confirms");
    let former = link.owner("any").await.expect("sentinels");
    let asked = servers.sentinels[0].command(&["SENTINEL", "FAILOVER", servers.primary_name()]).await;
    assert_eq!(asked.trim(), "OK");
    until_done("a new primary", || async {
        link.run(vec![set("a", "2")], one_replica()).await?;
        match link.owner("any").await? == former {
            true => Err(LinkError::Unavailable("the failover has not begun".into())),
            false => Ok(()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_sentinel_that_hangs_holds_nobody_up() {
    let servers = Replicated::start().await;
    servers.sentinels[0].freeze();
    let link = patient_link_to(&servers);
    let began = Instant::now();
    link.run(vec![set("a", "1")], None).await.expect("the others know");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    servers.sentinels[1].freeze();
    let alone = link_to(&servers);
    until_done("the word of the last one", || alone.run(vec![set("a", "2")], None)).await;
    servers.sentinels.iter().for_each(|sentinel| sentinel.thaw());
}
