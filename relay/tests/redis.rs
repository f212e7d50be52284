//! The relay over Redis: the suite on each kind of Redis, and what it does with one that is not there.

#[path = "support/redis.rs"]
mod redis_support;
mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use redis_link::{Mode, RedisOptions};
use redis_support::{new_prefix, until};
use relay::{Faults, FaultyRelay, RedisRelay, Relay, RelayError, conformance::Fixture};
use servers::{Redis, RedisCluster, Replicated};
use support::{Counters, publication, within};
use tokio::sync::OnceCell;

const CAPACITY: usize = 256;

/// A prefix of its own on servers that the tests of this process share.
struct OnRedis {
    mode: Mode,
    servers: Vec<String>,
    prefix: String,
    wrapped: bool,
}

impl OnRedis {
    async fn single() -> Self {
        static SERVER: OnceCell<Redis> = OnceCell::const_new();
        let server = SERVER.get_or_init(Redis::start).await;
        Self::new(Mode::Single, vec![server.address()])
    }

    async fn sentinel() -> Self {
        static SERVERS: OnceCell<Replicated> = OnceCell::const_new();
        let servers = SERVERS.get_or_init(Replicated::start).await;
        Self::new(Mode::Sentinel, servers.sentinel_addresses())
    }

    async fn cluster() -> Self {
        static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
        let cluster = CLUSTER.get_or_init(RedisCluster::start).await;
        Self::new(Mode::Cluster, cluster.addresses())
    }

    async fn wrapped() -> Self {
        Self { wrapped: true, ..Self::single().await }
    }

    fn new(mode: Mode, servers: Vec<String>) -> Self {
        Self { mode, servers, prefix: new_prefix(), wrapped: false }
    }

    /// With times that a busy machine does not exceed.
    fn options(&self) -> RedisOptions {
        let (connect_timeout, response_timeout) = (Duration::from_secs(5), Duration::from_secs(10));
        let (mode, servers) = (self.mode, self.servers.clone());
        RedisOptions { mode, servers, connect_timeout, response_timeout, ..RedisOptions::default() }
    }
}

#[async_trait]
impl Fixture for OnRedis {
    async fn connect(&self) -> Arc<dyn Relay> {
        let relay = RedisRelay::with_capacity(self.options(), self.prefix.clone(), CAPACITY);
        let relay = Arc::new(relay.expect("options that fit together"));
        if self.wrapped { Arc::new(FaultyRelay::new(relay, Faults::default())) } else { relay }
    }

    fn queue_capacity(&self) -> usize {
        CAPACITY
    }
}

mod single {
    relay::conformance!(super::OnRedis::single());
}

mod single_behind_no_faults {
    relay::conformance!(super::OnRedis::wrapped());
}

mod sentinel {
    relay::conformance!(super::OnRedis::sentinel());
}

mod cluster {
    relay::conformance!(super::OnRedis::cluster());
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let counters = Counters::default();
    metrics::with_local_recorder(&counters, || {
        support::block_on(async {
            let server = Redis::start().await;
            let relay = redis_support::relay(Mode::Single, vec![server.address()], "x:", 3);
            let mut subscription = relay.subscribe("spear-1").await.expect("a server");
            let batch = (0..10).map(|number| publication("spear-1", number)).collect();
            relay.publish(batch).await.expect("a server");
            until("seven are dropped", || async {
                counters.of("phalanx_relay_dropped_total", "spear-1") == 7
            })
            .await;
            assert_eq!(support::received(&mut subscription), [0, 1, 2], "the first ones have a place");
        });
    });
}

#[tokio::test]
async fn a_batch_is_one_command_a_hint_on_one_connection() {
    let server = Redis::start().await;
    let relay = redis_support::relay(Mode::Single, vec![server.address()], "x:", CAPACITY);
    let batches =
        (0..50).map(|_| relay.publish((0..20).map(|number| publication("nobody", number)).collect()));
    for published in futures_util::future::join_all(batches).await {
        published.expect("a server");
    }
    let stats = server.command(&["INFO", "commandstats"]).await;
    assert!(stats.contains("cmdstat_publish:calls=1000,"), "{stats}");
    let clients = server.command(&["CLIENT", "LIST"]).await;
    assert_eq!(clients.lines().filter(|line| line.contains("cmd=publish")).count(), 1, "{clients}");
}

#[tokio::test]
async fn without_a_server_it_fails_in_time_and_works_once_there_is_one() {
    let mut server = Redis::start().await;
    server.kill().await;
    let relay = redis_support::relay(Mode::Single, vec![server.address()], "x:", CAPACITY);
    let subscribed = within(relay.subscribe("spear-1")).await;
    assert!(matches!(subscribed, Err(RelayError::Unavailable(_))), "{subscribed:?}");
    let published = within(relay.publish(vec![publication("spear-1", 1)])).await;
    assert!(matches!(published, Err(RelayError::Unavailable(_))), "{published:?}");
    server.start_again().await;
    redis_support::Watched::begin(&relay, &relay).await;
}

#[tokio::test]
async fn what_waits_to_be_published_is_bounded() {
    let server = Redis::start().await;
    let relay = redis_support::relay(Mode::Single, vec![server.address()], "x:", CAPACITY);
    relay.publish(vec![publication("nobody", 1)]).await.expect("a server");
    server.freeze();
    let large = bytes::Bytes::from(vec![0_u8; 1024 * 1024]);
    let batch = || vec![relay::Publication { target: "nobody".into(), bytes: large.clone() }];
    let all = futures_util::future::join_all((0..100).map(|_| relay.publish(batch()))).await;
    let errors = all.into_iter().filter_map(Result::err).map(|error| error.to_string());
    let (full, tried): (Vec<_>, Vec<_>) = errors.partition(|error| error.contains("wait to be published"));
    // 64 MiB fit 63 of them, with what each costs besides.
    assert_eq!((full.len(), tried.len()), (37, 63), "{full:?} {tried:?}");
    server.thaw();
    let room = || async { relay.publish(batch()).await.is_ok() };
    until("there is room again", room).await;
}

#[tokio::test]
async fn a_subscription_that_is_dropped_leaves_no_connection() {
    let server = Redis::start().await;
    let relay = redis_support::relay(Mode::Single, vec![server.address()], "x:", CAPACITY);
    let subscribers = || async {
        let answer = server.command(&["PUBSUB", "NUMSUB", "x:spear-1"]).await;
        answer.lines().last().unwrap_or_default().trim().to_owned()
    };
    let subscription = relay.subscribe("spear-1").await.expect("a server");
    assert_eq!(subscribers().await, "1");
    let again = relay.subscribe("spear-1").await.expect("a server");
    until("the former one's connection is closed", || async { subscribers().await == "1" }).await;
    drop((subscription, again));
    until("no connection is left", || async { subscribers().await == "0" }).await;
}
