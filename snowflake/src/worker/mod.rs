//! A worker number of one's own, held through the roster's persistent nodes.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`WorkerLease`]: cuts ids; no I/O |
//! | `keeper.rs` | [`Keeper`]: takes a number, renews it, gives it back |
//! | `record.rs` | what is kept about a number |
//! | `numbers.rs` | in which order numbers are tried |
//! | `tests.rs` | both, on the embedded roster |
//!
//! What keeps ids unique is the time in the record alone: a holder cuts only ids below the time that it knows to be
//! written there, and the next holder begins at that time. So one that is frozen, or that has lost its number without
//! knowing, repeats nothing, and no clock need be right. Clocks decide only when a number counts as abandoned.

mod keeper;
mod numbers;
mod record;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use roster::Roster;
use wire::{MessageId, NodeRef, Role, proto::idgen::Run};

use crate::{Clock, Exhausted, Generator, layout};

pub use keeper::Keeper;

/// How far ahead of its clock a holder reserves time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// In milliseconds: how long ids follow the clock while the roster cannot be reached. After a crash the number's next
    /// ids begin so far ahead at most.
    hold_ms: u64,
    /// The part of it, in milliseconds, that the clock alone cannot use up: at its beginning ids stop following the clock
    /// and go on one after the other, 4,096 for each millisecond of it.
    room_ms: u64,
}

impl Ahead {
    /// For a node that cuts ids only while the roster is lost: two hours. The ten minutes of room hold 2.4 thousand million
    /// ids, so an outage of any length is covered.
    pub const OUTAGE: Self = Self { hold_ms: 2 * 3_600_000, room_ms: 10 * 60_000 };

    /// For a node that cuts ids all the time: `hold_ms`, half of it room. At most a quarter passes between two renewals, so
    /// even one that cuts as fast as the layout allows does not run out.
    pub const fn always(hold_ms: u64) -> Self {
        Self { hold_ms, room_ms: hold_ms / 2 }
    }

    /// Up to where time is reserved at `now_ms` for one whose ids begin at `floor_ms`.
    fn until_ms(self, now_ms: u64, floor_ms: u64) -> u64 {
        (now_ms + self.hold_ms).max(floor_ms + self.room_ms)
    }
}

/// Who holds a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its role: ids of nodes are unique within one.
    pub role: Role,
    /// Which start of which node.
    pub node: NodeRef,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.node)
    }
}

/// Why no ids were cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// The roster has not given a number, or took it back.
    #[error("this node holds no worker number to cut ids of its own: {0}")]
    NoNumber(Arc<str>),
    /// Everything that was reserved is used.
    #[error(
        "all ids reserved under worker number {number} are used up: more are reserved when the roster can be reached again"
    )]
    UsedUp {
        /// Which.
        number: u16,
    },
}

/// Cuts ids under a number that a [`Keeper`] takes and keeps. Cheap to clone.
#[derive(Clone)]
pub struct WorkerLease {
    clock: Arc<dyn Clock>,
    ahead: Ahead,
    state: Arc<Mutex<State>>,
}

enum State {
    Without(Arc<str>),
    Holding(Holding),
}

struct Holding {
    number: u16,
    generator: Generator,
    /// Ids stay below this time, in milliseconds since the ids' epoch.
    until_ms: u64,
}

impl WorkerLease {
    /// A lease for `holder`, and what is to keep it. At most one keeper of a holder runs at a time.
    pub fn new(
        roster: Arc<dyn Roster>,
        holder: Holder,
        clock: Arc<dyn Clock>,
        ahead: Ahead,
    ) -> (Self, Keeper) {
        let state = Arc::new(Mutex::new(State::Without("none was taken yet".into())));
        let lease = Self { clock, ahead, state };
        (lease.clone(), Keeper::new(roster, holder, lease))
    }

    /// Cuts `count` ids, ascending, above all that this lease has cut, and above `after` where the reservation reaches so
    /// far. Ids of other workers may be higher or lower.
    ///
    /// # Errors
    /// [`CutError`]; nothing is used up then.
    pub fn cut(&self, count: u32, after: MessageId) -> Result<Vec<Run>, CutError> {
        let mut state = self.state.lock();
        let holding = match &mut *state {
            State::Holding(holding) => holding,
            State::Without(reason) => return Err(CutError::NoNumber(reason.clone())),
        };
        let wanted = self.now_ms().max(layout::time_ms(after) + 1);
        let from = wanted.min(holding.until_ms.saturating_sub(self.ahead.room_ms));
        let cut = holding.generator.cut(count, from, holding.until_ms);
        cut.map_err(|Exhausted| CutError::UsedUp { number: holding.number })
    }

    /// The number that is held.
    pub fn number(&self) -> Option<u16> {
        self.reserved().ok().map(|(number, _)| number)
    }

    /// The number that is held, and up to when time is reserved under it (milliseconds since the Unix epoch).
    ///
    /// # Errors
    /// Why none is held.
    pub fn reserved(&self) -> Result<(u16, i64), Arc<str>> {
        match &*self.state.lock() {
            State::Holding(holding) => Ok((holding.number, layout::to_unix(holding.until_ms))),
            State::Without(reason) => Err(reason.clone()),
        }
    }

    fn open(&self, number: u16, floor_ms: u64, until_ms: u64) {
        let generator = Generator::new(number, floor_ms);
        *self.state.lock() = State::Holding(Holding { number, generator, until_ms });
    }

    /// Written: ids may be cut up to `until_ms`.
    fn extend(&self, until_ms: u64) {
        if let State::Holding(holding) = &mut *self.state.lock() {
            holding.until_ms = holding.until_ms.max(until_ms);
        }
    }

    /// Cuts nothing from now on. Answers the first millisecond of which nothing was cut, where a number was held.
    fn close(&self, reason: impl Into<Arc<str>>) -> Option<u64> {
        match std::mem::replace(&mut *self.state.lock(), State::Without(reason.into())) {
            State::Holding(holding) => Some(holding.generator.untouched_ms()),
            State::Without(_) => None,
        }
    }

    /// Up to where time is to be reserved now, and never less than is.
    fn next_until_ms(&self) -> u64 {
        match &*self.state.lock() {
            State::Holding(holding) => {
                let until_ms = self.ahead.until_ms(self.now_ms(), holding.generator.untouched_ms());
                until_ms.max(holding.until_ms)
            }
            State::Without(_) => 0,
        }
    }

    fn now_ms(&self) -> u64 {
        layout::followed_ms(self.clock.wall_ms())
    }
}

impl fmt::Debug for WorkerLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerLease").field("number", &self.number()).finish_non_exhaustive()
    }
}
