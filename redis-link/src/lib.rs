//! How to reach Redis: a single server, through Sentinel, or a cluster. Used by the store and the relay.
//!
//! | file | what |
//! |---|---|
//! | `link.rs` | [`Link`]: a run of calls, each to its server |
//! | `options.rs` | [`RedisOptions`]: which Redis, and how long to wait for it |
//! | `call.rs` | [`Call`]: a command or script and its slot; [`Wait`] |
//! | `error.rs` | [`LinkError`]: what may have been done, and what not |
//! | `batch.rs` | one server's part of a run: one pipeline, its answers sorted |
//! | `server.rs` | the connections to one server: a shared one, and some of their own for runs with `WAIT` |
//! | `connection.rs` | [`Connection`]: one of them |
//! | `stream.rs` | the TCP connection below, and when silence on it counts as loss |
//! | `tls.rs` | [`Tls`]: whom to trust there, and who we are |
//! | `gate.rs` | one attempt at a time, with a pause after each failure |
//! | `topology/` | which server a call goes to: Sentinel, the slots of a cluster |
//!
//! The redis crate does the protocol, on connections that we make: its own TLS would read the system's certificates from
//! the disk for each connection, also where a file is named, and find a key that does not fit only when it connects. Its
//! clients for Sentinel and Cluster are not used: its cluster client repeats what may have been done, says nothing of
//! which calls share a server, and so offers no place for one `WAIT` a server; its sentinel client asks one sentinel
//! after the other, so one that hangs holds everybody up.
//!
//! Connections speak RESP3, so take answers apart with `redis::from_redis_value`, which knows maps and sets of both kinds.

mod batch;
mod call;
mod connection;
mod error;
mod gate;
mod link;
mod options;
mod server;
mod stream;
mod tls;
mod topology;

pub use call::{Call, Wait};
pub use connection::{Connection, OnPush};
pub use error::LinkError;
pub use gate::pause;
pub use link::Link;
pub use options::{Mode, RedisOptions};
pub use redis;
pub use tls::{Tls, TlsError, TlsFiles};
pub use topology::LeaseStanding;
