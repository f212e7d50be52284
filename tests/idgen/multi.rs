//! Multi mode: all nodes are active, and ids are unique whatever happens.

use std::collections::HashSet;

use crate::{
    node::Node,
    world::{World, eventually},
};

const HOUR_MS: i64 = 3_600_000;

const SESSION_MS: u64 = 2_000;

const MULTI: (&str, &str) = ("PHALANX__IDGEN__MODE", "multi");

async fn start(world: &World, number: u32) -> Node {
    start_with(world, number, &[MULTI]).await
}

async fn start_with(world: &World, number: u32, env: &[(&str, &str)]) -> Node {
    let node = Node::start(world, number, env).await;
    eventually(&format!("{} is active", node.id), async || node.is_active().await).await;
    world.ask(&node, 4);
    node
}

async fn judge(world: &World) {
    let history = world.rest().await;
    history.is_unique().expect("no id comes twice");
    println!("{} calls, no id twice", history.calls().len());
}

/// The worker number in what `/readyz` says.
async fn worker(node: &Node) -> String {
    let duty = node.duty().await;
    duty.trim_start_matches("active, worker number ").split(':').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_frozen_and_restarted_nodes_and_wrong_clocks_repeat_nothing() {
    let world = World::start(SESSION_MS).await;
    let (first, second, mut third) = (start(&world, 1).await, start(&world, 2).await, start(&world, 3).await);
    let mut workers = HashSet::new();
    for node in [&first, &second, &third] {
        world.served_by(&node.id, 100).await;
        workers.insert(worker(node).await);
    }
    assert_eq!(workers.len(), 3, "{workers:?}");
    world.ask_any(3);

    for by_ms in [HOUR_MS, -HOUR_MS, 0] {
        first.set_clock(by_ms).await;
        second.set_clock(-by_ms).await;
        world.served_by("idgen-1", 100).await;
        world.served_by("idgen-2", 100).await;
    }

    // Given a node that is killed and started again: it takes up its own number where it can have ended.
    let number = worker(&third).await;
    third.kill().await;
    let third = start(&world, 3).await;
    assert_eq!(worker(&third).await, number);
    world.served_by("idgen-3", 100).await;

    // Given a node that is frozen past its session, whose next start takes up its number meanwhile.
    second.freeze();
    let next = start(&world, 2).await;
    world.served_by("idgen-2", 100).await;
    second.thaw();
    world.served_by("idgen-2", 200).await;
    assert!(next.is_active().await);

    // Given one that is frozen past its session, and only that.
    first.freeze();
    let frozen = world.history.now();
    let gone = std::time::Duration::from_millis(2 * SESSION_MS);
    eventually("its session is over", async || world.history.now() - frozen > gone).await;
    first.thaw();
    world.served_by("idgen-1", 200).await;
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_end_loses_no_call_and_gives_the_number_back() {
    let world = World::start(SESSION_MS).await;
    let (mut first, _second) = (start(&world, 1).await, start(&world, 2).await);
    world.ask_any(3);
    let number = worker(&first).await;
    first.drain();
    first.drained().await;
    world.served_by("client", 100).await;
    let (data, _) = {
        let path = format!("/idgen/workers/{number}");
        world.roster().read(&path).await.expect("reachable").expect("it is kept")
    };
    let record: serde_json::Value = serde_json::from_slice(&data).expect("JSON");
    assert_eq!(record["holder"], "idgen-1");
    assert!(
        record["until_at"].as_i64().expect("a time") <= now_at(),
        "nothing is reserved any more: {record}"
    );
    judge(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_zookeeper_is_lost_ids_go_on_or_stop_as_the_setting_says() {
    let mut world = World::start(SESSION_MS).await;
    let stop = [MULTI, ("PHALANX__CLUSTER__ON_ZOOKEEPER_LOSS", "stop")];
    let (unique, stopping) = (start(&world, 1).await, start_with(&world, 2, &stop).await);
    world.served_by("idgen-1", 100).await;
    world.served_by("idgen-2", 100).await;
    for _ in 0..2 {
        world.servers[0].kill().await;
        eventually("idgen-1 says it", async || {
            unique.is_active().await && unique.duty().await.contains("ZooKeeper cannot be reached")
        })
        .await;
        eventually("idgen-2 says it", async || stopping.duty().await.contains("cluster.on_zookeeper_loss"))
            .await;
        assert_eq!(unique.metric("phalanx_roster_health").await, 0.0);
        assert_eq!(stopping.metric("phalanx_idgen_active").await, 0.0);
        let since = world.served_by("idgen-1", 200).await;
        assert_eq!(world.history.answered("idgen-2", since), 0);
        world.servers[0].start_again().await;
        world.served_by("idgen-2", 100).await;
        world.served_by("idgen-1", 100).await;
        eventually("it is over", async || unique.metric("phalanx_roster_health").await == 1.0).await;
    }
    judge(&world).await;
}

fn now_at() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("milliseconds")
}
