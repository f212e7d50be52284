//! How to reach Apache RocketMQ, by the remoting protocol of its name servers and brokers (4.9 and newer). Used by the relay and the export.
//!
//! | file | what |
//! |---|---|
//! | `client.rs` | [`RocketMq`]: topics, sending, pulling |
//! | `queue.rs` | [`Queue`]: where one is; what name servers say of topics and brokers |
//! | `message.rs` | messages as they are sent and as they are stored |
//! | `servers.rs` | a connection to each server, made when it is needed |
//! | `connection.rs` | one of them: requests that wait for their answers |
//! | `command.rs` | a request or an answer, in bytes |
//! | `loose.rs` | JSON as the servers write it |
//! | `error.rs` | [`Error`] |
//!
//! It is our own, and only what a relay and an export need. rocketmq-client-rust 1.0, tried against a broker of version 5.5, sent again only 30 s
//! after a broker that was killed had come back, and did not pull again within the trial: it asks the name servers each 30 s, and refuses to be
//! told less than 10 s. Its errors hide their reasons, it wants a runtime of its own, and brings 102 further crates. Apache's gRPC client needs a
//! proxy, and can neither make a topic nor read a queue from an offset.
//!
//! Neither TLS nor access keys.

mod client;
mod command;
mod connection;
mod error;
mod loose;
mod message;
mod queue;
mod servers;

pub use client::{Options, Pulled, RocketMq, Sent};
pub use error::Error;
pub use message::Outgoing;
pub use queue::Queue;
