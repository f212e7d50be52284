//! Apache Kafka: a topic of one partition a node. It is read without a consumer group, from the end that it has when the node
//! subscribes.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | where Kafka is and how it is used: its settings, which every program can read |
//! | `client.rs` | what librdkafka is told of them |
//! | `relay.rs` | [`KafkaRelay`] |
//! | `outbox.rs` | what waits to be published |
//! | `subscriber.rs` | makes the topic, reads it, and says how that is going |

#[cfg(feature = "kafka")]
mod client;
mod options;
#[cfg(feature = "kafka")]
mod outbox;
#[cfg(feature = "kafka")]
mod relay;
#[cfg(feature = "kafka")]
mod subscriber;

pub use options::{KafkaAcks, KafkaOptions, KafkaSecurity};
#[cfg(feature = "kafka")]
pub use relay::KafkaRelay;
