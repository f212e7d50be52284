//! Work that somebody beside the cluster waits for, from the outboxes of the store: webhooks now.
//!
//! | file | what |
//! |---|---|
//! | `share.rs` | [`Share`]: partitions whose work one node does, and which node should |
//! | `lease.rs` | [`Leases`]: which shares this node holds; [`Held`] and [`Work`] |
//! | `reader.rs` | what waits in a share: pointers become messages and changes of presence |
//!
//! A share is held through an election of the roster, so it moves when its holder dies. Elections cannot tell a holder that was frozen
//! from one that works, so the store gives each holder a term for each partition, and takes confirmations of the newest one only: what a
//! frozen one has sent may come twice, nothing is left out.

mod lease;
mod reader;
mod share;

pub(crate) use lease::{Held, Leases, Work};
pub(crate) use reader::{Item, Reader, What};
