//! Real servers for tests: each a process with a directory and a port of its own, ended when it is dropped.
//!
//! | file | what |
//! |---|---|
//! | `process.rs` | one process: started, killed, frozen, started again |
//! | `ports.rs` | ports that no other test of this machine uses |
//! | `guard.rs` | [`Guard`]: TLS, a user and a password that Redis asks for; [`Certificates`] |
//! | `redis.rs` | [`Redis`], [`Replicated`] with Sentinel, [`RedisCluster`] |
//! | `kafka.rs` | [`Kafka`] |
//! | `rocketmq.rs` | [`RocketMq`]: a name server and its brokers |
//! | `zookeeper.rs` | [`ZooKeeper`], [`Ensemble`] |
//! | `wire.rs` | [`Wire`]: between a process and a server, to be cut |
//!
//! How a server is run stands in `bin/lib/server.sh`, which `bin/start.sh` uses too. Everything here panics, with the end of
//! the server's log, where a test cannot go on.

mod guard;
mod kafka;
mod ports;
mod process;
mod redis;
mod rocketmq;
mod wire;
mod zookeeper;

pub use guard::{Certificates, Guard};
pub use kafka::Kafka;
pub use redis::{Redis, RedisCluster, Replicated};
pub use rocketmq::RocketMq;
pub use wire::Wire;
pub use zookeeper::{Ensemble, ZooKeeper};
