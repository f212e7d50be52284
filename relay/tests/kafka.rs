//! The relay over Kafka: the suite, and what it does while a broker is killed, started again or frozen.

#![cfg(feature = "kafka")]

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
use relay::{Faults, FaultyRelay, KafkaOptions, KafkaRelay, Relay, conformance::Fixture};
use servers::Kafka;
use tokio::sync::OnceCell;

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

#[async_trait]
impl Broker for Kafka {
    fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(KafkaRelay::new(KafkaOptions {
            servers: vec![self.address()],
            response_timeout: RESPONSE_TIMEOUT,
            publish_timeout: PUBLISH_TIMEOUT,
            ..KafkaOptions::default()
        }))
    }

    async fn kill(&mut self) {
        Self::kill(self).await;
    }

    async fn start_again(&mut self) {
        Self::start_again(self).await;
    }

    fn freeze(&self) {
        Self::freeze(self);
    }

    fn thaw(&self) {
        Self::thaw(self);
    }
}

broker_cases!(Kafka::start());
