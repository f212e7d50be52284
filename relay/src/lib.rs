//! Delivery between spears: a hint, never the truth. What is lost here is found in the store.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | [`Relay`] and [`Subscription`] |
//! | `numbering/` | [`Publisher`] numbers hints per target, [`Numbering`] finds repeats and holes |
//! | `embedded.rs` | bounded queues within one process |
//! | `redis/` | Redis Pub/Sub, a channel a node |
//! | `kafka/` | Apache Kafka, a topic a node (Cargo feature `kafka`, save for its settings) |
//! | `rocketmq/` | Apache RocketMQ, a topic a node |
//! | `inbox.rs` | where hints wait that a task has read |
//! | `topic.rs` | node ids in the names of topics |
//! | `faulty.rs` | a wrapper that drops, repeats, delays and reorders on purpose |
//! | `conformance.rs` | what every implementation must do; each runs it in its tests |

mod embedded;
mod faulty;
mod inbox;
mod kafka;
mod numbering;
mod redis;
mod rocketmq;
mod topic;

pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

pub use embedded::EmbeddedRelay;
pub use faulty::{Faults, FaultyRelay};
#[cfg(feature = "kafka")]
pub use kafka::KafkaRelay;
pub use kafka::{KafkaAcks, KafkaOptions, KafkaSecurity};
pub use numbering::{Arrival, Numbering, Publisher};
pub use redis::RedisRelay;
pub use rocketmq::{RocketMqOptions, RocketMqRelay};

/// One publication: bytes for one node.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The id of the node that it is for; the incarnation travels inside the bytes.
    pub target: Arc<str>,
    /// A [`wire::Hint`], encoded.
    pub bytes: Bytes,
}

/// How a subscription is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Hints arrive.
    Up,
    /// The connection is lost; it is being made again. What was published meanwhile may never arrive.
    Down,
}

/// Why a relay operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It could not be done now. Nothing stored is lost: the receiver finds it in the store.
    #[error("the relay cannot be reached: {0}")]
    Unavailable(String),
}

/// Carries bytes from node to node, in order where it can, at most once where it can, and without any promise.
#[async_trait]
pub trait Relay: Send + Sync + 'static {
    /// Publishes a batch in one round trip where the implementation can; a target that nobody subscribes to costs
    /// nothing and is no error.
    ///
    /// A batch takes its place in the order when the future is first polled: of two batches to one target, the one that
    /// was polled first arrives first. [`Publisher`] relies on it. It is polled under a lock, so the first poll must
    /// neither block nor call the same [`Publisher`]. Where it was answered before it was
    /// published, dropping the relay takes it back: see [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`RelayError::Unavailable`]: some or all of it may not have been published.
    async fn publish(&self, batch: Vec<Publication>) -> Result<(), RelayError>;

    /// Waits until everything that was handed over before is published, or was dropped because it waited too long.
    async fn flush(&self) {}

    /// Receives what is published for the node `id` from now on; a later subscription for the same id replaces this one.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`].
    async fn subscribe(&self, id: &str) -> Result<Subscription, RelayError>;
}

/// What arrives for one node. The queue behind it is bounded: what does not fit is dropped and counted, and the
/// hole that this leaves in the numbering starts a comparison with the store.
#[derive(Debug)]
pub struct Subscription {
    /// The bytes as they were published; closed when another subscription has replaced this one.
    pub hints: mpsc::Receiver<Bytes>,
    /// Whether hints arrive at all.
    pub link: watch::Receiver<Link>,
}
