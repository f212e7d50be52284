//! The relay over RocketMQ: the suite, what it does while a broker is killed, started again or frozen, or a name server, and with several brokers.

#[path = "support/broker.rs"]
mod broker;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use broker::{Broker, PUBLISH_TIMEOUT, RESPONSE_TIMEOUT, broker_cases};
use bytes::Bytes;
use relay::{
    Faults, FaultyRelay, Link, Publication, Relay, RocketMqOptions, RocketMqRelay, conformance::Fixture,
};
use servers::RocketMq;
use support::{publication, receive, within};
use tokio::sync::{OnceCell, mpsc};

const CAPACITY: usize = 256;

/// Topics of its own on a broker that the tests of this process share.
struct OnRocketMq {
    options: RocketMqOptions,
    wrapped: bool,
}

impl OnRocketMq {
    async fn plain() -> Self {
        static SERVER: OnceCell<RocketMq> = OnceCell::const_new();
        static LAST: AtomicU64 = AtomicU64::new(0);
        let server = SERVER.get_or_init(RocketMq::start).await;
        let topic_prefix = format!("test-{}-", LAST.fetch_add(1, Ordering::Relaxed));
        // Times that a busy machine does not exceed.
        let (response_timeout, publish_timeout) = (Duration::from_secs(15), Duration::from_secs(15));
        let name_servers = vec![server.name_server()];
        let options = RocketMqOptions { name_servers, topic_prefix, response_timeout, publish_timeout };
        Self { options, wrapped: false }
    }

    async fn wrapped() -> Self {
        Self { wrapped: true, ..Self::plain().await }
    }
}

#[async_trait]
impl Fixture for OnRocketMq {
    async fn connect(&self) -> Arc<dyn Relay> {
        let relay = Arc::new(RocketMqRelay::with_capacity(self.options.clone(), CAPACITY));
        if self.wrapped { Arc::new(FaultyRelay::new(relay, Faults::default())) } else { relay }
    }

    fn queue_capacity(&self) -> usize {
        CAPACITY
    }
}

mod plain {
    relay::conformance!(super::OnRocketMq::plain());
}

mod behind_no_faults {
    relay::conformance!(super::OnRocketMq::wrapped());
}

#[async_trait]
impl Broker for RocketMq {
    fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(RocketMqRelay::new(options(self)))
    }

    async fn kill(&mut self) {
        self.kill_broker().await;
    }

    async fn start_again(&mut self) {
        self.start_broker_again().await;
    }

    fn freeze(&self) {
        self.freeze_broker();
    }

    fn thaw(&self) {
        self.thaw_broker();
    }
}

broker_cases!(RocketMq::start());

fn options(server: &RocketMq) -> RocketMqOptions {
    RocketMqOptions {
        name_servers: vec![server.name_server()],
        response_timeout: RESPONSE_TIMEOUT,
        publish_timeout: PUBLISH_TIMEOUT,
        ..RocketMqOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_server_that_is_lost_changes_nothing_for_those_who_know_their_way() {
    let mut server = RocketMq::start().await;
    let relay = RocketMqRelay::new(options(&server));
    let mut subscription = relay.subscribe("spear-1").await.expect("a broker");
    relay.publish(vec![publication("spear-1", 1)]).await.expect("there is room");
    assert_eq!(receive(&mut subscription, 1).await, [1]);
    server.kill_names().await;
    relay.publish(vec![publication("spear-1", 2)]).await.expect("there is room");
    assert_eq!(receive(&mut subscription, 1).await, [2]);
    // Back, it knows neither the topic nor the broker for some seconds.
    server.start_names_again().await;
    relay.publish(vec![publication("spear-1", 3)]).await.expect("there is room");
    assert_eq!(receive(&mut subscription, 1).await, [3]);
    assert_eq!(*subscription.link.borrow(), Link::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_brokers_each_node_has_one_and_the_others_go_on_without_it() {
    let mut server = RocketMq::with_brokers(2).await;
    let ids: Vec<String> = (0..16).map(|number| format!("spear-{number}")).collect();
    let mut subscriptions = Vec::new();
    for id in &ids {
        // Each as a process of its own; the second time all topics are there.
        drop(RocketMqRelay::new(options(&server)).subscribe(id).await.expect("brokers"));
        subscriptions.push(RocketMqRelay::new(options(&server)).subscribe(id).await.expect("brokers"));
    }
    server.kill_broker().await;
    let relay = RocketMqRelay::new(options(&server));
    let mut lost = 0;
    for (id, subscription) in ids.iter().zip(&mut subscriptions) {
        tokio::select! {
            down = subscription.link.wait_for(|link| *link == Link::Down) => {
                down.expect("it is subscribed");
                lost += 1;
            }
            () = flows(&relay, id, &mut subscription.hints) => {}
        }
    }
    assert!((1..ids.len()).contains(&lost), "{lost} of {} were on the broker that is lost", ids.len());
    server.start_broker_again().await;
    for (id, subscription) in ids.iter().zip(&mut subscriptions) {
        within(subscription.link.wait_for(|link| *link == Link::Up)).await.expect("it is subscribed");
        within(flows(&relay, id, &mut subscription.hints)).await;
    }
}

/// Publishes until one arrives.
async fn flows(relay: &RocketMqRelay, id: &str, hints: &mut mpsc::Receiver<Bytes>) {
    loop {
        relay.publish(vec![publication(id, 1)]).await.expect("there is room");
        if tokio::time::timeout(Duration::from_millis(200), hints.recv()).await.is_ok() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_the_broker_does_not_take_costs_only_itself() {
    let server = RocketMq::start().await;
    // Times that a busy machine does not exceed.
    let (response_timeout, publish_timeout) = (Duration::from_secs(15), Duration::from_secs(15));
    let relay = RocketMqRelay::new(RocketMqOptions { response_timeout, publish_timeout, ..options(&server) });
    let mut subscription = relay.subscribe("spear-1").await.expect("a broker");
    for size in [9 << 20, 16 << 20] {
        let large = Publication { target: "spear-1".into(), bytes: vec![0_u8; size].into() };
        let batch = vec![publication("spear-1", 1), large, publication("spear-1", 2)];
        relay.publish(batch).await.expect("there is room");
        assert_eq!(receive(&mut subscription, 2).await, [1, 2], "about {size} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_answers_but_lets_nothing_be_read_is_a_lost_subscription() {
    let server = RocketMq::start().await;
    let relay = RocketMqRelay::new(options(&server));
    let mut subscription = relay.subscribe("spear-1").await.expect("a broker");
    relay.publish(vec![publication("spear-1", 1)]).await.expect("there is room");
    assert_eq!(receive(&mut subscription, 1).await, [1]);
    within(async {
        // What has started the broker lets it be read, too, until the name servers know it.
        while *subscription.link.borrow() == Link::Up {
            server.let_broker_be_read(false).await;
            // What comes ends the pull that waits for it.
            relay.publish(vec![publication("spear-1", 2)]).await.expect("there is room");
            let _ = tokio::time::timeout(Duration::from_millis(500), subscription.link.changed()).await;
        }
    })
    .await;
    server.let_broker_be_read(true).await;
    within(subscription.link.wait_for(|link| *link == Link::Up)).await.expect("it is subscribed");
    within(flows(&relay, "spear-1", &mut subscription.hints)).await;
}
