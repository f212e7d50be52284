//! Apache RocketMQ: a topic of one queue a node. It is read without a consumer group of its own, from the end that it has when the node
//! subscribes.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | where RocketMQ is and how it is used: its settings |
//! | `outbox.rs` | what waits to be published, a lane a node |
//! | `subscriber.rs` | makes the topic, reads it, and says how that is going |

mod options;
mod outbox;
mod subscriber;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rocketmq_link::RocketMq;

use crate::{
    Publication, Relay, RelayError, Subscription,
    inbox::{Inboxes, QUEUE_CAPACITY},
    topic::topic,
};

pub use options::RocketMqOptions;
use outbox::Outbox;
use subscriber::Subscriber;

/// What stands before a hint: a broker takes no message that is empty.
const BEFORE: u8 = b'h';

/// What stands in a message that says only where a subscription begins.
const BEGINNING: &[u8] = b"b";

/// A hint as a message's body.
fn wrapped(hint: &Bytes) -> Bytes {
    let mut body = BytesMut::with_capacity(1 + hint.len());
    body.put_u8(BEFORE);
    body.extend_from_slice(hint);
    body.freeze()
}

/// The hint in a message's body; `None`: it is not ours.
fn unwrapped(mut body: Bytes) -> Option<Bytes> {
    (body.try_get_u8() == Ok(BEFORE)).then_some(body)
}

/// A relay over RocketMQ. Clones share everything.
///
/// Publishing hands over and waits for nobody. Hints that were on their way when a broker died come late or not at all; what a queue has is
/// read on where reading stopped.
#[derive(Clone)]
pub struct RocketMqRelay {
    inner: Arc<Inner>,
}

struct Inner {
    options: RocketMqOptions,
    client: RocketMq,
    outbox: OnceLock<Outbox>,
    inboxes: Inboxes,
}

impl RocketMqRelay {
    /// A relay on the servers that the options say. It does nothing before it is first used, which must be within a tokio runtime.
    pub fn new(options: RocketMqOptions) -> Self {
        Self::with_capacity(options, QUEUE_CAPACITY)
    }

    /// The same, with at most `capacity` hints (at least 1) that wait for each subscription; 8,192 otherwise.
    pub fn with_capacity(options: RocketMqOptions, capacity: usize) -> Self {
        let client = RocketMq::new(options.client());
        let inner = Inner { options, client, outbox: OnceLock::new(), inboxes: Inboxes::new(capacity) };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn outbox(&self) -> &Outbox {
        self.outbox.get_or_init(|| Outbox::new(self.client.clone(), &self.options))
    }
}

#[async_trait]
impl Relay for RocketMqRelay {
    async fn publish(&self, batch: Vec<Publication>) -> Result<(), RelayError> {
        self.inner.outbox().publish(batch)
    }

    async fn flush(&self) {
        if let Some(outbox) = self.inner.outbox.get() {
            outbox.flush().await;
        }
    }

    async fn subscribe(&self, id: &str) -> Result<Subscription, RelayError> {
        let id: Arc<str> = id.into();
        // What this process has published before is not for this subscription.
        self.inner.outbox().settle(&id).await;
        let topic = topic(&self.inner.options.topic_prefix, &id);
        let subscriber = Subscriber::open(self.inner.client.clone(), &self.inner.options, topic).await?;
        let (inbox, subscription) = self.inner.inboxes.open(id);
        tokio::spawn(subscriber.run(inbox));
        Ok(subscription)
    }
}

impl std::fmt::Debug for RocketMqRelay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocketMqRelay").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
