//! Each kind of server starts, survives a kill with its data, and is gone when it is dropped.

use servers::{Ensemble, Redis, RedisCluster, Replicated, RocketMq, ZooKeeper};

#[tokio::test]
async fn redis_keeps_its_data_over_a_kill() {
    let mut redis = Redis::start_with(&["--appendfsync", "always"]).await;
    assert_eq!(redis.command(&["SET", "a", "1"]).await.trim(), "OK");
    redis.kill().await;
    assert_eq!(redis.command(&["GET", "a"]).await, "");
    redis.start_again().await;
    assert_eq!(redis.command(&["GET", "a"]).await.trim(), "1");
}

#[tokio::test]
async fn sentinel_watches_a_primary_and_two_replicas() {
    let group = Replicated::start().await;
    assert_eq!(group.sentinel_addresses().len(), 3);
    let found =
        group.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group.primary_name()]).await;
    assert!(found.contains(&group.primary.port().to_string()), "{found}");
}

#[tokio::test]
async fn a_cluster_serves_every_slot() {
    let cluster = RedisCluster::start().await;
    let info = cluster.nodes[5].command(&["CLUSTER", "INFO"]).await;
    assert!(info.contains("cluster_slots_ok:16384"), "{info}");
}

#[tokio::test]
async fn zookeeper_starts_again_on_its_port() {
    let mut server = ZooKeeper::start().await;
    assert!(server.command("srvr").await.contains("Mode: standalone"));
    server.kill().await;
    assert_eq!(server.command("srvr").await, "");
    server.start_again().await;
    assert!(server.command("srvr").await.contains("Mode: standalone"));
}

#[tokio::test]
async fn an_ensemble_has_one_leader() {
    let ensemble = Ensemble::start().await;
    let mut leaders = 0;
    for server in &ensemble.servers {
        leaders += usize::from(server.leads().await);
    }
    assert_eq!(leaders, 1);
}

#[tokio::test]
async fn rocketmq_finds_its_brokers_again_after_kills() {
    let mut server = RocketMq::with_brokers(2).await;
    assert_eq!(server.brokers().len(), 2);
    server.kill_broker().await;
    server.start_broker_again().await;
    server.kill_names().await;
    server.start_names_again().await;
}
