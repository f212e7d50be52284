//! The works, one a file.
//!
//! | file | what |
//! |---|---|
//! | `bench.rs` | [`Bench`]: what every work needs |
//! | `crowd.rs` | [`crowd::Crowd`]: connections that are held |
//! | `traffic.rs` | [`traffic::Traffic`]: a measured stretch of time, and what was seen in it |
//! | `memory.rs` | memory of idle connections |
//! | `connect.rs` | new connections |
//! | `direct.rs`, `pair.rs` | sends between two users |
//! | `group.rs`, `fan.rs` | sends to a group or a room |

pub mod bench;
pub mod connect;
pub mod crowd;
pub mod direct;
pub mod fan;
pub mod group;
pub mod memory;
pub mod pair;
pub mod traffic;

pub use bench::Bench;
