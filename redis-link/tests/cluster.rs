//! A cluster: calls go to the servers that own their slots, wherever these are or move to.

mod support;

use std::{collections::HashSet, time::Duration};

use redis_link::{Call, Link, Mode, Wait, redis::cmd};
use servers::{Redis, RedisCluster};
use support::{add, each, get, link, one_replica, set, until, until_done};

/// Enough tags to be on all three primaries.
fn tags() -> Vec<String> {
    (0..24).map(|number| format!("{{p{number:04}}}")).collect()
}

/// A cluster whose replicas have what their primaries have, so that they confirm.
fn link_to(cluster: &RedisCluster) -> Link {
    link(Mode::Cluster, vec![cluster.nodes[0].address(), cluster.nodes[4].address()])
}

fn node<'a>(cluster: &'a RedisCluster, address: &str) -> &'a Redis {
    cluster.nodes.iter().find(|node| node.address() == address).expect("a node of the cluster")
}

#[tokio::test]
async fn a_run_is_one_round_trip_to_each_server() {
    let cluster = RedisCluster::start().await;
    let link = link_to(&cluster);
    let tags = tags();
    // All know the script afterwards.
    link.run(tags.iter().map(|tag| add(&format!("{tag}:n"), 0)).collect(), None).await.expect("a cluster");
    let before = link.round_trips();
    let calls = tags.iter().enumerate().flat_map(|(at, tag)| {
        let (key, counter) = (format!("{tag}:a"), format!("{tag}:n"));
        [set(&key, &at.to_string()), get(&key), add(&counter, 1), add(&counter, 1)]
    });
    let answers: Vec<String> = each(link.run(calls.collect(), one_replica()).await.expect("a cluster"));
    for (at, answers) in answers.chunks(4).enumerate() {
        assert_eq!(answers, ["OK", &at.to_string(), "1", "2"]);
    }
    assert_eq!(link.round_trips() - before, 3);
}

#[tokio::test]
async fn each_server_confirms_for_itself() {
    let cluster = RedisCluster::start().await;
    let link = link_to(&cluster);
    let tags = tags();
    let all = || tags.iter().map(|tag| set(tag, "1")).collect::<Vec<_>>();
    until_done("a replica of each confirms", || link.run(all(), one_replica())).await;
    let owner = link.owner(&tags[0]).await.expect("a cluster");
    let mut replicas = Vec::new();
    for node in &cluster.nodes {
        let role = node.command(&["ROLE"]).await;
        let port = owner.rsplit_once(':').expect("host:port").1;
        if role.starts_with("slave") && role.lines().any(|line| line == port) {
            replicas.push(node);
        }
    }
    assert_eq!(replicas.len(), 1);
    replicas[0].freeze();
    let wait = Some(Wait { replicas: 1, timeout: Duration::from_millis(200) });
    let refused = link.run(all(), wait).await;
    assert!(matches!(refused, Err(redis_link::LinkError::NotReplicated { .. })), "{refused:?}");
    let mut others = Vec::new();
    for tag in &tags {
        if link.owner(tag).await.expect("a cluster") != owner {
            others.push(set(tag, "2"));
        }
    }
    assert!(!others.is_empty() && others.len() < tags.len());
    link.run(others, wait).await.expect("the other servers' replicas confirm");
    replicas[0].thaw();
}

#[tokio::test]
async fn a_primary_that_is_killed_is_replaced() {
    let mut cluster = RedisCluster::start().await;
    let link = link_to(&cluster);
    let tags = tags();
    let all = || tags.iter().map(|tag| add(tag, 1)).collect::<Vec<_>>();
    until_done("a replica of each confirms", || link.run(all(), one_replica())).await;
    let former = link.owner(&tags[0]).await.expect("a cluster");
    let place = cluster.nodes.iter().position(|node| node.address() == *former).expect("a node");
    cluster.nodes[place].kill().await;
    let counts: Vec<i64> = each(until_done("a new primary", || link.run(all(), None)).await);
    assert!(counts.iter().all(|count| *count >= 2), "what was confirmed is there: {counts:?}");
    assert_ne!(link.owner(&tags[0]).await.expect("a cluster"), former);
}

#[tokio::test]
async fn a_primary_that_is_frozen_is_replaced() {
    let cluster = RedisCluster::start().await;
    let link = link_to(&cluster);
    let former = link.owner("{p0001}").await.expect("a cluster");
    link.run(vec![set("{p0001}", "1")], one_replica()).await.expect("a replica confirms");
    node(&cluster, &former).freeze();
    until_done("a new primary", || link.run(vec![set("{p0001}", "2")], None)).await;
    assert_ne!(link.owner("{p0001}").await.expect("a cluster"), former);
    node(&cluster, &former).thaw();
    let values: Vec<String> = each(until_done("the value", || link.run(vec![get("{p0001}")], None)).await);
    assert_eq!(values, ["2"]);
}

#[tokio::test]
async fn a_slot_on_its_way_is_followed() {
    let cluster = RedisCluster::start().await;
    let link = link_to(&cluster);
    let (here, there) = ("{p0001}:here", "{p0001}:there");
    link.run(vec![set(here, "1"), set(there, "2")], None).await.expect("a cluster");
    let keyslot = Call::command(here, cmd("CLUSTER").arg("KEYSLOT").arg(here).take());
    let slot = each::<u16>(link.run(vec![keyslot], None).await.expect("a cluster"))[0].to_string();
    let owners: HashSet<_> = {
        let mut owners = HashSet::new();
        for tag in tags() {
            owners.insert(link.owner(tag).await.expect("a cluster"));
        }
        owners
    };
    let source = link.owner(here).await.expect("a cluster");
    let target = owners.into_iter().find(|owner| *owner != source).expect("three primaries");
    let (source, target) = (node(&cluster, &source), node(&cluster, &target));
    let (source_id, target_id) =
        (source.command(&["CLUSTER", "MYID"]).await, target.command(&["CLUSTER", "MYID"]).await);
    let (source_id, target_id) = (source_id.trim(), target_id.trim());
    target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", source_id]).await;
    source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", target_id]).await;
    let port = target.port().to_string();
    let migrated = source.command(&["MIGRATE", "127.0.0.1", &port, there, "0", "1000"]).await;
    assert_eq!(migrated.trim(), "OK");

    // One key is still where it was, one has left, a new one is made where the slot goes.
    let calls = vec![get(here), get(there), add("{p0001}:new", 5), get(here)];
    let answers: Vec<String> = each(link.run(calls, one_replica()).await.expect("both servers"));
    assert_eq!(answers, ["1", "2", "5", "1"]);

    source.command(&["MIGRATE", "127.0.0.1", &port, here, "0", "1000"]).await;
    for node in [target, source] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", target_id]).await;
    }
    let calls = vec![get(here), get(there), get("{p0001}:new")];
    let answers: Vec<String> = each(link.run(calls, one_replica()).await.expect("the new owner"));
    assert_eq!(answers, ["1", "2", "5"]);
    // The server that is asked for the slots may not have heard of the move at once.
    until("the new owner is known", || async {
        link.run(vec![get(here)], None).await.expect("the new owner");
        *link.owner(here).await.expect("a cluster") == *target.address()
    })
    .await;
    let before = link.round_trips();
    link.run(vec![get(here)], None).await.expect("the new owner");
    assert_eq!(link.round_trips() - before, 1, "it is known now");
}

#[tokio::test]
async fn scripts_are_loaded_on_each_server() {
    let cluster = RedisCluster::start().await;
    let link = link_to(&cluster);
    let tags = tags();
    for round in 1..=2_i64 {
        let calls = tags.iter().map(|tag| add(tag, 1)).collect();
        let answers: Vec<i64> = each(link.run(calls, one_replica()).await.expect("a cluster"));
        assert!(answers.iter().all(|answer| *answer == round), "{answers:?}");
        for node in &cluster.nodes {
            node.command(&["SCRIPT", "FLUSH"]).await;
        }
    }
}
