//! The relay itself.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use rdkafka::{config::RDKafkaLogLevel, error::KafkaError};

use crate::{
    Publication, Relay, RelayError, Subscription,
    inbox::{Inboxes, QUEUE_CAPACITY},
    topic::topic,
};

use super::{KafkaOptions, outbox::Outbox, subscriber::Subscriber};

/// A relay over Kafka. Clones share everything.
///
/// Publishing hands over and waits for nobody, save for the first hint to a node. Hints that were on their way when a broker died come
/// late or not at all; what a topic has is read on where reading stopped.
#[derive(Clone)]
pub struct KafkaRelay {
    inner: Arc<Inner>,
}

struct Inner {
    options: KafkaOptions,
    outbox: OnceLock<Arc<Outbox>>,
    inboxes: Inboxes,
}

impl KafkaRelay {
    /// A relay on the servers that the options say. It does nothing before it is first used, which must be within a tokio runtime.
    pub fn new(options: KafkaOptions) -> Self {
        Self::with_capacity(options, QUEUE_CAPACITY)
    }

    /// The same, with at most `capacity` hints (at least 1) that wait for each subscription; 8,192 otherwise.
    pub fn with_capacity(options: KafkaOptions, capacity: usize) -> Self {
        let inner = Inner { options, outbox: OnceLock::new(), inboxes: Inboxes::new(capacity) };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn outbox(&self) -> Result<Arc<Outbox>, RelayError> {
        if let Some(outbox) = self.outbox.get() {
            return Ok(outbox.clone());
        }
        let outbox = Arc::new(Outbox::new(&self.options)?);
        // Another one may have been made meanwhile.
        Ok(self.outbox.get_or_init(|| outbox).clone())
    }
}

pub(super) fn unavailable(error: &KafkaError) -> RelayError {
    RelayError::Unavailable(error.to_string())
}

/// What librdkafka says; people are told by us.
pub(super) fn quiet_log(_: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(facility, message, "librdkafka");
}

#[async_trait]
impl Relay for KafkaRelay {
    async fn publish(&self, batch: Vec<Publication>) -> Result<(), RelayError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.inner.outbox()?.publish(batch).await
    }

    async fn flush(&self) {
        if let Some(outbox) = self.inner.outbox.get() {
            outbox.flush().await;
        }
    }

    async fn subscribe(&self, id: &str) -> Result<Subscription, RelayError> {
        let id: Arc<str> = id.into();
        let topic = topic(&self.inner.options.topic_prefix, &id).into();
        let subscriber = Subscriber::open(&self.inner.options, topic).await?;
        let (inbox, subscription) = self.inner.inboxes.open(id);
        tokio::spawn(subscriber.run(inbox));
        Ok(subscription)
    }
}

impl std::fmt::Debug for KafkaRelay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaRelay").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
