//! Several active nodes over real sockets: unique ids, callers that go elsewhere, and what happens while the roster is lost.

mod support;

use std::{collections::HashSet, time::Duration};

use boot::OnZooKeeperLoss;
use roster::{Roster as _, Version};
use rpc::{IdOptions, Ids as _};
use support::{Cluster, SECRET, eventually};
use tonic::Code;
use wire::MessageId;

fn worker(id: MessageId) -> u64 {
    id.0 >> 12 & 1_023
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_active_and_callers_of_one_that_drains_go_elsewhere() {
    let cluster = Cluster::start(2_000).await;
    let first = cluster.active("idgen-1").await;
    let (second, third) = (cluster.active("idgen-2").await, cluster.active("idgen-3").await);
    let clients: Vec<_> = (0..40).map(|_| cluster.client(IdOptions::default())).collect();
    let (mut seen, mut workers) = (HashSet::new(), HashSet::new());
    for client in &clients {
        let ids = client.take(5_000).await.expect("ids");
        workers.insert(worker(ids[0]));
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "ascending within a call");
        assert!(ids.into_iter().all(|id| seen.insert(id)), "unique");
    }
    // None of the three is left out by chance: two thirds to the power of forty.
    assert_eq!(workers.len(), 3, "callers spread over the nodes, each with a number of its own");

    first.drain().await;
    for client in &clients {
        let ids = client.take(5_000).await.expect("ids, from another node");
        assert!(ids.into_iter().all(|id| seen.insert(id)), "unique");
    }
    second.kill();
    for client in &clients {
        let ids = client.take(10).await.expect("ids, from the last node");
        assert!(ids.into_iter().all(|id| seen.insert(id)), "unique");
    }
    assert!(third.is_active());

    // Given that both come back, each takes up a number of its own without repeating anything.
    let (first, second) = (cluster.active("idgen-1").await, cluster.active("idgen-2").await);
    for node in [&first, &second, &third] {
        assert!(seen.insert(node.one().await.expect("an id")), "unique");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_roster_is_lost_ids_come_from_what_is_reserved() {
    let mut cluster = Cluster::start(2_000).await;
    cluster.on_loss(OnZooKeeperLoss::Unique);
    let node = cluster.active("idgen-1").await;
    let before = node.one().await.expect("an id");
    cluster.roster.suspect();
    eventually("it says so", || node.duty().contains("ZooKeeper cannot be reached")).await;
    assert!(node.is_ready() && node.is_active(), "{}", node.duty());
    let during = node.one().await.expect("an id");
    cluster.roster.recover();
    eventually("it says that it is over", || !node.duty().contains("cannot be reached")).await;
    assert!(before < during && during < node.one().await.expect("an id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_roster_is_lost_ids_stop_where_that_is_asked_for() {
    let mut cluster = Cluster::start(2_000).await;
    cluster.on_loss(OnZooKeeperLoss::Stop);
    let node = cluster.active("idgen-1").await;
    let client = cluster.client(IdOptions { deadline: Duration::from_millis(700), ..IdOptions::default() });
    let patient = cluster.client(IdOptions::default());
    let before = patient.take(1).await.expect("ids")[0];
    cluster.roster.suspect();
    assert_eq!(node.cut(SECRET, 1).await, Err(Code::FailedPrecondition), "at once");
    let refused = client.take(1).await.expect_err("nobody serves").to_string();
    assert!(refused.contains("cluster.on_zookeeper_loss is \"stop\""), "{refused}");
    eventually("readiness says so", || node.duty().contains("cluster.on_zookeeper_loss")).await;
    assert!(node.is_ready(), "else an outage of ZooKeeper would close every door");
    cluster.roster.recover();
    eventually("it is active again", || node.is_active()).await;
    assert!(patient.take(1).await.expect("ids again")[0] > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_numbers_run_out_the_node_says_so_and_goes_on_trying() {
    let cluster = Cluster::start(2_000).await;
    let record = |until_at: i64| {
        let taken = serde_json::json!({
            "version": 1, "role": "idgen", "holder": "gone", "incarnation": 1, "until_at": until_at,
        });
        taken.to_string().into_bytes()
    };
    for number in 16..1_024 {
        let path = format!("/idgen/workers/{number}");
        cluster.roster.create(&path, &record(i64::MAX / 2)).await.expect("it is free");
    }
    let node = cluster.several("idgen-1").await;
    eventually("it says so", || node.duty().contains("all 1008 worker numbers are taken by other nodes"))
        .await;
    assert!(!node.is_ready());
    assert_eq!(node.cut(SECRET, 1).await, Err(Code::FailedPrecondition));
    // Given that the time of one has passed, and ten minutes more.
    cluster
        .roster
        .write("/idgen/workers/500", &record(1_704_067_200_000), Version(0))
        .await
        .expect("it is there");
    eventually("it has that one", || node.duty() == "active, worker number 500").await;
    assert!(node.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_node_beside_several_repeats_none_of_their_ids() {
    let cluster = Cluster::start(600).await;
    let several = cluster.active("idgen-1").await;
    let strict = cluster.idgen("idgen-2").await;
    eventually("the strict one is active", || strict.is_active()).await;
    let (one, other) = (several.one().await.expect("an id"), strict.one().await.expect("an id"));
    assert_eq!(worker(other), u64::from(support::WORKER));
    assert!(worker(one) > 15, "the numbers up to 15 are the strict mode's");
}
