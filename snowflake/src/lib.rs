//! Message ids: what their bits mean, how they are cut, and who may cut them.
//!
//! | file | what |
//! |---|---|
//! | `layout.rs` | what the bits of an id mean, and until when they suffice |
//! | `generator.rs` | [`Generator`]: cuts runs of ids; no clock, no I/O |
//! | `clock.rs` | [`Clock`]: wall and boot time; [`ManualClock`] for tests |
//! | `worker/` | [`WorkerLease`]: a worker number of one's own, held through the roster |
//!
//! idgen cuts the ids of the whole cluster in the order of the calls, under one of the numbers 0 to 15. A node that must go
//! on without it while ZooKeeper is lost cuts ids under a number that it took before.

mod clock;
mod generator;
pub mod layout;
mod worker;

pub use clock::{Clock, ManualClock, SystemClock};
pub use generator::{Exhausted, Generator};
pub use worker::{CutError, Holder, Keeper, WorkerLease};
