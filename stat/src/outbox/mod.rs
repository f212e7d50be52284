//! Work that somebody beside the cluster waits for, from the outboxes of the store: webhooks, the export.
//!
//! | file | what |
//! |---|---|
//! | `share.rs` | [`Share`]: partitions whose work one node does, and which node should |
//! | `lease.rs` | [`Leases`]: which shares this node holds; [`Held`] and [`Work`] |
//! | `delivery.rs` | [`Delivery`]: the work of a share: read, hand over, confirm |
//! | `sink.rs` | [`Sink`]: who is given it |
//! | `reader.rs` | what waits in a share: pointers become messages and changes of presence |
//! | `outage.rs` | a sink that takes nothing, counted and logged |
//! | `counters.rs` | metrics |
//!
//! A share is held through an election of the roster, so it moves when its holder dies. Elections cannot tell a holder that was frozen
//! from one that works, so the store gives each holder a term for each partition, and takes confirmations of the newest one only: what a
//! frozen one has sent may come twice, nothing is left out.

mod counters;
mod delivery;
mod lease;
mod outage;
mod reader;
mod share;
mod sink;

pub(crate) use counters::{Counters, Lag};
pub(crate) use delivery::{Delivery, Pace, forget};
pub(crate) use outage::Outage;
pub(crate) use reader::What;
pub(crate) use sink::{Delivered, Event, Sink};

use lease::{Held, Leases, Work};
use reader::{Item, Reader};
