//! Whatever cuts a subscription over Redis: it says so, subscribes again by itself, and hints flow again.

#[path = "support/redis.rs"]
mod redis_support;
mod support;

use std::time::{Duration, Instant};

use redis_link::{Link as RedisLink, Mode, RedisOptions};
use redis_support::{Watched, until};
use relay::{RedisRelay, Relay as _};
use servers::{Redis, RedisCluster, Replicated};
use support::publication;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

const PREFIX: &str = "phalanx:relay:";
const CHANNEL: &str = "phalanx:relay:spear-1";

fn single(server: &Redis) -> RedisRelay {
    redis_support::relay(Mode::Single, vec![server.address()], PREFIX, 256)
}

fn behind_sentinel(servers: &Replicated) -> RedisRelay {
    redis_support::relay(Mode::Sentinel, servers.sentinel_addresses(), PREFIX, 256)
}

fn in_cluster(cluster: &RedisCluster) -> RedisRelay {
    redis_support::relay(Mode::Cluster, cluster.addresses(), PREFIX, 256)
}

/// How many subscribers the channel has on this server.
async fn subscribers(server: &Redis, command: &str) -> String {
    let answer = server.command(&["PUBSUB", command, CHANNEL]).await;
    answer.lines().last().unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again() {
    let mut server = Redis::start().await;
    let mut watched = Watched::begin(&single(&server), &single(&server)).await;
    server.kill().await;
    watched.is_down().await;
    server.start_again().await;
    watched.is_back().await;
    watched.flows().await;
}

#[tokio::test]
async fn a_connection_that_is_killed_again_and_again() {
    let server = Redis::start().await;
    let mut watched = Watched::begin(&single(&server), &single(&server)).await;
    for _ in 0..5 {
        let killed = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert_eq!(killed.trim(), "1");
        watched.is_back().await;
        watched.flows().await;
    }
}

#[tokio::test]
async fn a_server_that_is_frozen() {
    let server = Redis::start().await;
    let mut watched = Watched::begin(&single(&server), &single(&server)).await;
    server.freeze();
    watched.is_down().await;
    server.thaw();
    watched.is_back().await;
    watched.flows().await;
    until("the connection from before is closed", || async { subscribers(&server, "NUMSUB").await == "1" })
        .await;
}

/// The server lives, and so does the connection, as far as both ends know; but nothing comes through.
#[tokio::test]
async fn a_way_that_has_gone_silent() {
    const FOUND_WITHIN: Duration = Duration::from_secs(3);
    let server = Redis::start().await;
    let (way, silence) = forwarder(server.address()).await;
    // With the times that a node has.
    let options = RedisOptions { servers: vec![way], ..RedisOptions::default() };
    let receiver = RedisRelay::new(options, PREFIX).expect("options that fit together");
    let mut watched = Watched::begin(&receiver, &single(&server)).await;
    let began = Instant::now();
    silence.send_replace(());
    watched.is_back().await;
    watched.flows().await;
    assert!(began.elapsed() < FOUND_WITHIN, "{:?}", began.elapsed());
}

/// A way to a server, and what makes every connection that is on it by then silent for ever; neither end is told.
async fn forwarder(to: String) -> (String, watch::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one").to_string();
    let silence = watch::Sender::new(());
    let silences = silence.clone();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.expect("somebody connects");
            let mut far = TcpStream::connect(&to).await.expect("the server lives");
            let mut silent = silences.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    // Both stay open.
                    _ = silent.changed() => std::future::pending().await,
                }
            });
        }
    });
    (address, silence)
}

#[tokio::test]
async fn a_primary_that_is_killed() {
    let mut servers = Replicated::start().await;
    let mut watched = Watched::begin(&behind_sentinel(&servers), &behind_sentinel(&servers)).await;
    servers.primary.kill().await;
    watched.is_back().await;
    watched.flows().await;
}

#[tokio::test]
async fn a_primary_that_is_frozen_and_replaced() {
    let servers = Replicated::start().await;
    let mut watched = Watched::begin(&behind_sentinel(&servers), &behind_sentinel(&servers)).await;
    servers.primary.freeze();
    watched.is_back().await;
    watched.flows().await;
    servers.primary.thaw();
    watched.flows().await;
}

#[tokio::test]
async fn a_primary_that_lives_on_as_a_replica() {
    let servers = Replicated::start().await;
    let mut watched = Watched::begin(&behind_sentinel(&servers), &behind_sentinel(&servers)).await;
    assert_eq!(subscribers(&servers.primary, "NUMSUB").await, "1");
    let asked = servers.sentinels[0].command(&["SENTINEL", "FAILOVER", servers.primary_name()]).await;
    assert_eq!(asked.trim(), "OK");
    watched.is_back().await;
    watched.flows().await;
    until("nobody listens at the former primary", || async {
        subscribers(&servers.primary, "NUMSUB").await == "0"
    })
    .await;
}

/// The role changes, but no connection is closed, as where the one that changed it did not do that.
#[tokio::test]
async fn a_primary_that_becomes_a_replica_and_keeps_its_connections() {
    let servers = Replicated::start().await;
    let mut watched = Watched::begin(&behind_sentinel(&servers), &behind_sentinel(&servers)).await;
    let port = servers.replicas[0].port().to_string();
    servers.primary.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    watched.is_down().await;
    servers.primary.command(&["REPLICAOF", "NO", "ONE"]).await;
    watched.is_back().await;
    watched.flows().await;
}

#[tokio::test]
async fn a_primary_of_a_cluster_that_is_killed() {
    let mut cluster = RedisCluster::start().await;
    let mut watched = Watched::begin(&in_cluster(&cluster), &in_cluster(&cluster)).await;
    let owner = owner(&cluster).await;
    cluster.nodes[owner].kill().await;
    watched.is_back().await;
    watched.flows().await;
}

#[tokio::test]
async fn a_primary_of_a_cluster_that_is_frozen() {
    let cluster = RedisCluster::start().await;
    let mut watched = Watched::begin(&in_cluster(&cluster), &in_cluster(&cluster)).await;
    let owner = owner(&cluster).await;
    cluster.nodes[owner].freeze();
    watched.is_back().await;
    watched.flows().await;
    cluster.nodes[owner].thaw();
    watched.flows().await;
}

#[tokio::test]
async fn a_slot_that_moves_to_another_server() {
    let cluster = RedisCluster::start().await;
    let mut watched = Watched::begin(&in_cluster(&cluster), &in_cluster(&cluster)).await;
    let source = &cluster.nodes[owner(&cluster).await];
    let slot = source.command(&["CLUSTER", "KEYSLOT", CHANNEL]).await;
    let mut target = None;
    for node in &cluster.nodes {
        if node.port() != source.port() && node.command(&["ROLE"]).await.starts_with("master") {
            target = Some(node);
        }
    }
    let target = target.expect("another primary");
    let id = target.command(&["CLUSTER", "MYID"]).await;
    for node in [target, source] {
        let moved = node.command(&["CLUSTER", "SETSLOT", slot.trim(), "NODE", id.trim()]).await;
        assert_eq!(moved.trim(), "OK");
    }
    watched.is_back().await;
    watched.flows().await;
    assert_eq!(subscribers(target, "SHARDNUMSUB").await, "1");
    assert_eq!(subscribers(source, "SHARDNUMSUB").await, "0");
}

#[tokio::test]
async fn a_server_of_a_cluster_that_hangs_holds_up_its_own_channels_only() {
    let cluster = RedisCluster::start().await;
    let (connect_timeout, response_timeout) = (Duration::from_secs(2), Duration::from_secs(6));
    let (mode, servers) = (Mode::Cluster, cluster.addresses());
    let options =
        RedisOptions { mode, servers, connect_timeout, response_timeout, ..RedisOptions::default() };
    let relay = RedisRelay::new(options.clone(), PREFIX).expect("options that fit together");
    let link = RedisLink::new(options).expect("options that fit together");
    let owner = |id: String| {
        let link = &link;
        async move { (link.owner(format!("{PREFIX}{id}")).await.expect("a cluster"), id) }
    };
    let ids = futures_util::future::join_all((0..50).map(|number| owner(format!("spear-{number}")))).await;
    let (hangs, slow) = ids[0].clone();
    let (_, quick) = ids.into_iter().find(|(owner, _)| *owner != hangs).expect("three primaries");
    let both = vec![publication(&slow, 1), publication(&quick, 1)];
    relay.publish(both).await.expect("a cluster");
    cluster.nodes.iter().find(|node| node.address() == *hangs).expect("a node").freeze();
    let to_slow = relay.publish(vec![publication(&slow, 2)]);
    let to_quick = async {
        let began = Instant::now();
        for number in 2..20 {
            relay.publish(vec![publication(&quick, number)]).await.expect("the server is there");
        }
        began.elapsed()
    };
    let (to_slow, took) = tokio::join!(to_slow, to_quick);
    assert!(to_slow.is_err(), "it was frozen");
    assert!(took < response_timeout / 2, "{took:?}");
}

/// Which node of the cluster has the channel.
async fn owner(cluster: &RedisCluster) -> usize {
    let options =
        RedisOptions { mode: Mode::Cluster, servers: cluster.addresses(), ..RedisOptions::default() };
    let link = RedisLink::new(options).expect("options that fit together");
    let owner = link.owner(CHANNEL).await.expect("a cluster");
    cluster.nodes.iter().position(|node| node.address() == *owner).expect("a node of the cluster")
}
