//! Message ids: what their bits mean, how they are cut, and who may cut them.
//!
//! | file | what |
//! |---|---|
//! | `layout.rs` | what the bits of an id mean, and until when they suffice |
//! | `generator.rs` | [`Generator`]: cuts runs of ids; no clock, no I/O. `tests/generator.rs` attacks it |
//! | `clock.rs` | [`Clock`]: wall and boot time; [`ManualClock`] and [`MovedClock`] for tests |
//! | `worker/` | [`WorkerLease`]: a worker number of one's own, held through the roster |
//!
//! A strict idgen cuts the ids of the whole cluster in the order of the calls, under one of the numbers 0 to 15. Several that are
//! active at once each take one of the other numbers, and so does a node that must go on without idgen while ZooKeeper is lost.

mod clock;
mod generator;
pub mod layout;
mod worker;

pub use clock::{Clock, ManualClock, MovedClock, SystemClock};
pub use generator::{Exhausted, Generator};
pub use worker::{Ahead, CutError, Holder, Keeper, WorkerLease};
