//! Whole nodes over real sockets: failover, fencing, refusals.

mod support;

use std::time::Duration;

use rpc::{IdOptions, Ids, IdsError};
use support::{Cluster, eventually};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_over_and_ids_go_on_growing() {
    let cluster = Cluster::start(2_000).await;
    let first = cluster.idgen("idgen-1").await;
    eventually("idgen-1 is active", || first.is_active()).await;
    let second = cluster.idgen("idgen-2").await;
    eventually("idgen-2 is ready", || second.is_ready()).await;
    assert_eq!(second.duty(), "backup");

    let client = cluster.client(IdOptions::default());
    let mut last = *client.take(100).await.expect("ids").last().expect("a hundred");

    // Given a killed active node (nothing released), its backup serves within the lease and a little.
    first.kill();
    let ids = client.take(100).await.expect("the backup within the caller's deadline");
    assert!(ids[0] > last, "{} then {}", last, ids[0]);
    // It may serve an instant before its report says so.
    eventually("the backup says that it is active", || second.is_active()).await;
    last = ids[99];

    // Given a clean drain, nobody waits a lease out.
    let third = cluster.idgen("idgen-3").await;
    eventually("idgen-3 is ready", || third.is_ready()).await;
    second.drain().await;
    let ids = client.take(1).await.expect("the third");
    assert!(ids[0] > last);
    eventually("the third says that it is active", || third.is_active()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_node_that_is_fenced_off_repeats_nothing() {
    let cluster = Cluster::start(600).await;
    let (first, second) = (cluster.idgen("idgen-1").await, cluster.idgen("idgen-2").await);
    eventually("one is active", || first.is_active() || second.is_active()).await;
    let client = cluster.client(IdOptions::default());
    let mut seen = Vec::new();
    for round in 0..4 {
        seen.extend(client.take(5_000).await.expect("ids"));
        let active = if first.is_active() { "idgen-1" } else { "idgen-2" };
        // Given that its session has ended and it does not know.
        cluster.roster.expire_unnoticed(active);
        let (old, new) = if active == "idgen-1" { (&first, &second) } else { (&second, &first) };
        while !new.is_active() {
            seen.extend(client.take(100).await.expect("ids throughout"));
        }
        eventually(&format!("round {round}: {active} has stepped down"), || !old.is_active()).await;
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "ids grow in the order of the calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_watermark_stops_ids_and_says_why() {
    let cluster = Cluster::start(600).await;
    let (first, second) = (cluster.idgen("idgen-1").await, cluster.idgen("idgen-2").await);
    eventually("one is active", || first.is_active() || second.is_active()).await;
    eventually("both are ready", || first.is_ready() && second.is_ready()).await;
    let options = IdOptions { deadline: Duration::from_secs(3), ..IdOptions::default() };
    let client = cluster.client(options);
    client.take(1).await.expect("ids");
    // Given that each has seen it.
    let reads = cluster.reads();
    eventually("the backup has looked", || cluster.reads() > reads).await;
    cluster.delete_records();
    eventually("both refuse", || !first.is_ready() && !second.is_ready()).await;
    for node in [&first, &second] {
        assert!(node.duty().contains("/idgen/watermark was deleted"), "{}", node.duty());
    }
    let refused = client.take(1).await.expect_err("none is active");
    assert!(
        matches!(&refused, IdsError::Unavailable { reason, .. } if reason.contains("was deleted")),
        "{refused}"
    );
    assert_eq!(cluster.creations(), 1, "it is not made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_that_is_lost_for_a_while_stops_and_resumes_ids() {
    let cluster = Cluster::start(600).await;
    let node = cluster.idgen("idgen-1").await;
    eventually("it is active", || node.is_active()).await;
    let client = cluster.client(IdOptions::default());
    let before = client.take(1).await.expect("ids")[0];
    cluster.roster.suspect();
    eventually("it has stepped down", || !node.is_active()).await;
    assert!(node.is_ready(), "a backup: {}", node.duty());
    cluster.roster.recover();
    let after = client.take(1).await.expect("ids again within the deadline")[0];
    assert!(after > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_request_of_this_cluster_is_refused() {
    let cluster = Cluster::start(2_000).await;
    let node = cluster.idgen("idgen-1").await;
    eventually("it is active", || node.is_active()).await;

    assert_eq!(node.cut("wrong", 1).await, Err(Code::Unauthenticated));
    assert_eq!(node.cut(support::SECRET, 0).await, Err(Code::InvalidArgument));
    assert_eq!(node.cut(support::SECRET, 65_537).await, Err(Code::InvalidArgument));
    assert_eq!(node.cut(support::SECRET, 65_536).await, Ok(65_536));

    let backup = cluster.idgen("idgen-2").await;
    eventually("it is ready", || backup.is_ready()).await;
    assert_eq!(backup.cut(support::SECRET, 1).await, Err(Code::FailedPrecondition));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_do_not_go_together_refuse_the_start() {
    let cluster = Cluster::start(1_000).await;
    let settings = idgen::Settings { lease_ms: 1_000, ..support::settings(idgen::Mode::Strict) };
    let refused = cluster.run_to_end(settings).await.expect_err("the lease is as long as the session");
    assert!(refused.to_string().starts_with("idgen.lease_ms"), "{refused:#}");
}
