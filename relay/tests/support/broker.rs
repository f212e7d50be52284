//! Relays that have a broker of their own: what they do while it is killed, started again or frozen.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use relay::{Arrival, Link, Numbering, Publication, Publisher, Relay, RelayError, Subscription};
use wire::{Hint, Incarnation, NodeRef, Payload};

use crate::support::{publication, within};

/// How long the relays of these cases wait for a broker's answer, and for a hint to be published.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
pub(crate) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// A broker that nobody else uses.
#[async_trait]
pub(crate) trait Broker: Send + Sync {
    /// A relay on it, as the program has it, with short times.
    fn relay(&self) -> Arc<dyn Relay>;
    /// SIGKILL.
    async fn kill(&mut self);
    /// With its data.
    async fn start_again(&mut self);
    /// SIGSTOP.
    fn freeze(&self);
    /// SIGCONT.
    fn thaw(&self);
}

/// Makes a test of each case: `broker_cases!(Server::start())`, which gives a [`Broker`].
macro_rules! broker_cases {
    ($broker:expr) => {
        broker_cases! { $broker;
            a_broker_that_is_killed_under_load_loses_nothing_unseen,
            a_broker_that_is_frozen_holds_up_no_publication,
            what_waits_to_be_published_is_bounded,
            without_a_broker_it_fails_in_time_and_works_once_there_is_one,
        }
    };
    ($broker:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::broker::$case($broker.await).await;
            }
        )*
    };
}
pub(crate) use broker_cases;

/// A broker that has just started takes longer for its first answers than one that has not.
async fn subscribe(relay: &dyn Relay, id: &str) -> Subscription {
    let subscribed = async {
        loop {
            match relay.subscribe(id).await {
                Ok(subscription) => return subscription,
                Err(error) => println!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), subscribed).await.expect("a broker")
}

async fn link(subscription: &mut Subscription, wanted: Link) {
    let changed = subscription.link.wait_for(|link| *link == wanted);
    tokio::time::timeout(Duration::from_secs(60), changed).await.expect("in time").expect("it is subscribed");
}

/// Publishes until one arrives.
async fn flows(relay: &Arc<dyn Relay>, subscription: &mut Subscription) {
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

pub(crate) async fn a_broker_that_is_killed_under_load_loses_nothing_unseen(mut server: impl Broker) {
    let (receiver, sender) = (node("spear-1", 7), node("spear-2", 3));
    let mut subscription = subscribe(&*server.relay(), &receiver.id).await;
    let publisher = Arc::new(Publisher::new(server.relay(), sender));
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

pub(crate) async fn a_broker_that_is_frozen_holds_up_no_publication(server: impl Broker) {
    let relay = server.relay();
    let mut subscription = subscribe(&*relay, "spear-1").await;
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

pub(crate) async fn what_waits_to_be_published_is_bounded(server: impl Broker) {
    let relay = server.relay();
    let mut subscription = subscribe(&*relay, "spear-1").await;
    flows(&relay, &mut subscription).await;
    server.freeze();
    let large = bytes::Bytes::from(vec![0_u8; 1024 * 1024]);
    let batch = (0..100).map(|_| Publication { target: "spear-1".into(), bytes: large.clone() }).collect();
    let published = relay.publish(batch).await;
    assert!(matches!(published, Err(RelayError::Unavailable(_))), "{published:?}");
    server.thaw();
    flows(&relay, &mut subscription).await;
}

pub(crate) async fn without_a_broker_it_fails_in_time_and_works_once_there_is_one(mut server: impl Broker) {
    server.kill().await;
    let relay = server.relay();
    let subscribed = within(relay.subscribe("spear-1")).await;
    assert!(matches!(subscribed, Err(RelayError::Unavailable(_))), "{:?}", subscribed.err());
    within(relay.publish(vec![publication("spear-1", 1)])).await.expect("it is handed over");
    server.start_again().await;
    let mut subscription = subscribe(&*relay, "spear-1").await;
    flows(&relay, &mut subscription).await;
}
