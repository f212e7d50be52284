//! The relay over Kafka: the suite, and what it does while a broker is killed, started again or frozen.

#![cfg(feature = "kafka")]

mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use relay::{
    Arrival, Faults, FaultyRelay, KafkaOptions, KafkaRelay, Link, Numbering, Publication, Publisher, Relay,
    RelayError, Subscription, conformance::Fixture,
};
use servers::Kafka;
use support::{publication, within};
use tokio::sync::OnceCell;
use wire::{Hint, Incarnation, NodeRef, Payload};

const CAPACITY: usize = 256;

/// Topics of its own on a broker that the tests of this process share.
struct OnKafka {
    options: KafkaOptions,
    wrapped: bool,
}

impl OnKafka {
    async fn plain() -> Self {
        static SERVER: OnceCell<Kafka> = OnceCell::const_new();
        static LAST: AtomicU64 = AtomicU64::new(0);
        let server = SERVER.get_or_init(Kafka::start).await;
        let topic_prefix = format!("test-{}-", LAST.fetch_add(1, Ordering::Relaxed));
        // Times that a busy machine does not exceed.
        let (response_timeout, publish_timeout) = (Duration::from_secs(15), Duration::from_secs(15));
        let servers = vec![server.address()];
        let options = KafkaOptions {
            servers,
            topic_prefix,
            response_timeout,
            publish_timeout,
            ..KafkaOptions::default()
        };
        Self { options, wrapped: false }
    }

    async fn wrapped() -> Self {
        Self { wrapped: true, ..Self::plain().await }
    }
}

#[async_trait]
impl Fixture for OnKafka {
    async fn connect(&self) -> Arc<dyn Relay> {
        let relay = Arc::new(KafkaRelay::with_capacity(self.options.clone(), CAPACITY));
        if self.wrapped { Arc::new(FaultyRelay::new(relay, Faults::default())) } else { relay }
    }

    fn queue_capacity(&self) -> usize {
        CAPACITY
    }
}

mod plain {
    relay::conformance!(super::OnKafka::plain());
}

mod behind_no_faults {
    relay::conformance!(super::OnKafka::wrapped());
}

/// As the program has it, with short times.
fn relay_on(server: &Kafka) -> KafkaRelay {
    let (response_timeout, publish_timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    let servers = vec![server.address()];
    KafkaRelay::new(KafkaOptions { servers, response_timeout, publish_timeout, ..KafkaOptions::default() })
}

async fn link(subscription: &mut Subscription, wanted: Link) {
    let changed = subscription.link.wait_for(|link| *link == wanted);
    tokio::time::timeout(Duration::from_secs(60), changed).await.expect("in time").expect("it is subscribed");
}

/// Publishes until one arrives.
async fn flows(relay: &KafkaRelay, subscription: &mut Subscription) {
    let arrived = async {
        loop {
            // Too much may wait while the broker is away.
            let _ = relay.publish(vec![publication("spear-1", 1)]).await;
            let next = subscription.hints.recv();
            if tokio::time::timeout(Duration::from_millis(200), next).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), arrived).await.expect("a hint arrives");
}

fn node(id: &str, incarnation: u64) -> NodeRef {
    NodeRef { id: id.into(), incarnation: Incarnation(incarnation) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_under_load_loses_nothing_unseen() {
    let mut server = Kafka::start().await;
    let (receiver, sender) = (node("spear-1", 7), node("spear-2", 3));
    let mut subscription = relay_on(&server).subscribe(&receiver.id).await.expect("a broker");
    let publisher = Arc::new(Publisher::new(Arc::new(relay_on(&server)), sender));
    let (published, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let load = tokio::spawn({
        let (publisher, published, stop, receiver) =
            (publisher.clone(), published.clone(), stop.clone(), receiver.clone());
        async move {
            while stop.load(Ordering::SeqCst) == 0 {
                let number = published.load(Ordering::SeqCst) + 1;
                let _ = publisher.publish(vec![(receiver.clone(), Payload::Probe(number))]).await;
                published.store(number, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut numbering = Numbering::new(receiver.clone());
    let (mut seen, mut missing) = (BTreeSet::new(), 0);
    let mut take = |bytes| {
        let hint = Hint::decode(bytes).expect("a hint");
        match numbering.accept(&hint) {
            Arrival::Hole { missing: more } => missing += more,
            // It was counted as missing before.
            Arrival::Late => missing -= 1,
            Arrival::Next => {}
            Arrival::Repeat | Arrival::Foreign => return,
        }
        let Payload::Probe(number) = hint.payload else { panic!("a probe") };
        assert!(seen.insert(number), "{number} twice");
    };
    for _ in 0..200 {
        take(within(subscription.hints.recv()).await.expect("nobody replaces it"));
    }
    server.kill().await;
    link(&mut subscription, Link::Down).await;
    server.start_again().await;
    link(&mut subscription, Link::Up).await;
    let until = published.load(Ordering::SeqCst) + 200;
    while published.load(Ordering::SeqCst) < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(1, Ordering::SeqCst);
    load.await.expect("it does not panic");
    let mut last = 0;
    while last < published.load(Ordering::SeqCst) {
        let bytes = within(subscription.hints.recv()).await.expect("nobody replaces it");
        let Payload::Probe(number) = Hint::decode(bytes.clone()).expect("a hint").payload else {
            panic!("a probe")
        };
        last = last.max(number);
        take(bytes);
    }
    let published = published.load(Ordering::SeqCst);
    assert_eq!(seen.len() as u64 + missing, published, "each has arrived, or is known to be missing");
    println!("published {published}, missing and known to be: {missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_frozen_holds_up_no_publication() {
    let server = Kafka::start().await;
    let relay = relay_on(&server);
    let mut subscription = relay.subscribe("spear-1").await.expect("a broker");
    flows(&relay, &mut subscription).await;
    server.freeze();
    let began = Instant::now();
    for number in 0..1_000 {
        relay.publish(vec![publication("spear-1", number)]).await.expect("there is room");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "1,000 publications took {took:?}");
    link(&mut subscription, Link::Down).await;
    server.thaw();
    link(&mut subscription, Link::Up).await;
    flows(&relay, &mut subscription).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_be_published_is_bounded() {
    let server = Kafka::start().await;
    let relay = relay_on(&server);
    let mut subscription = relay.subscribe("spear-1").await.expect("a broker");
    flows(&relay, &mut subscription).await;
    server.freeze();
    let large = bytes::Bytes::from(vec![0_u8; 1024 * 1024]);
    let batch = (0..100).map(|_| Publication { target: "spear-1".into(), bytes: large.clone() }).collect();
    let published = relay.publish(batch).await;
    assert!(matches!(published, Err(RelayError::Unavailable(_))), "{published:?}");
    server.thaw();
    flows(&relay, &mut subscription).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_it_fails_in_time_and_works_once_there_is_one() {
    let mut server = Kafka::start().await;
    server.kill().await;
    let relay = relay_on(&server);
    let subscribed = within(relay.subscribe("spear-1")).await;
    assert!(matches!(subscribed, Err(RelayError::Unavailable(_))), "{:?}", subscribed.err());
    within(relay.publish(vec![publication("spear-1", 1)])).await.expect("it is handed over");
    server.start_again().await;
    let mut subscription = relay.subscribe("spear-1").await.expect("a broker");
    flows(&relay, &mut subscription).await;
}
