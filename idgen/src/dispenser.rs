//! Generator, reservation and lease together: what a request asks for its ids.

use std::sync::Arc;

use parking_lot::Mutex;
use snowflake::{Clock, Exhausted, Generator, layout};
use tokio::sync::{Notify, futures::Notified};
use wire::proto::idgen::Run;

use crate::{counters::Counters, cutter::Refusal, lease::Lease};

/// Serves ids while the node is the active one. One for each node.
pub(crate) struct Dispenser {
    clock: Arc<dyn Clock>,
    counters: Counters,
    state: Mutex<State>,
    /// A request needs more than is reserved.
    wanted: Notify,
    /// More was reserved, or the state changed.
    changed: Notify,
}

enum State {
    /// The node is not the active one, for this reason.
    Closed(Arc<str>),
    Open(Open),
}

struct Open {
    generator: Generator,
    /// Ids stay below this time, in milliseconds since the ids' epoch.
    until_ms: u64,
    lease: Lease,
}

impl Dispenser {
    pub(crate) fn new(clock: Arc<dyn Clock>, counters: Counters) -> Self {
        let state = Mutex::new(State::Closed("starting".into()));
        Self { clock, counters, state, wanted: Notify::new(), changed: Notify::new() }
    }

    /// Cuts `count` ids. Called after the request was read: the lease is checked here, with the state locked, and the
    /// ids are cut right after.
    pub(crate) fn cut(&self, count: u32) -> Result<Vec<Run>, Refusal> {
        let cut = self.try_cut(count);
        match &cut {
            Ok(_) => self.counters.served(count),
            Err(Refusal::Exhausted) => self.wanted.notify_one(),
            Err(_) => self.counters.refused(),
        }
        cut
    }

    fn try_cut(&self, count: u32) -> Result<Vec<Run>, Refusal> {
        let mut state = self.state.lock();
        let open = match &mut *state {
            State::Open(open) => open,
            State::Closed(reason) => return Err(Refusal::NotActive(reason.clone())),
        };
        if !open.lease.holds(self.clock.boot_ms()) {
            return Err(Refusal::Lapsed);
        }
        let now = layout::followed_ms(self.clock.wall_ms());
        open.generator.cut(count, now, open.until_ms).map_err(|Exhausted| Refusal::Exhausted)
    }

    /// Why the node serves nothing, if so.
    pub(crate) fn closed(&self) -> Option<Arc<str>> {
        match &*self.state.lock() {
            State::Closed(reason) => Some(reason.clone()),
            State::Open(_) => None,
        }
    }

    /// Told when it is worth trying again after [`Refusal::Exhausted`]. Take it before trying.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Told when a request was refused as [`Refusal::Exhausted`].
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Serves ids from now on.
    pub(crate) fn open(&self, generator: Generator, until_ms: u64, lease: Lease) {
        *self.state.lock() = State::Open(Open { generator, until_ms, lease });
        self.counters.set_active(true);
        self.changed.notify_waiters();
    }

    /// More was reserved, by a write that was sent at `sent_boot_ms`.
    pub(crate) fn extend(&self, until_ms: u64, sent_boot_ms: u64) {
        if let State::Open(open) = &mut *self.state.lock() {
            open.until_ms = open.until_ms.max(until_ms);
            open.lease.renew(sent_boot_ms);
        }
        self.changed.notify_waiters();
    }

    /// The first millisecond, since the ids' epoch, of which no id was served in this term; `None` while closed.
    pub(crate) fn untouched_ms(&self) -> Option<u64> {
        match &*self.state.lock() {
            State::Open(open) => Some(open.generator.untouched_ms()),
            State::Closed(_) => None,
        }
    }

    /// Serves nothing from now on, for this reason. Answers [`Dispenser::untouched_ms`] as it was.
    pub(crate) fn close(&self, reason: impl Into<Arc<str>>) -> Option<u64> {
        let untouched = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut *state, State::Closed(reason.into())) {
                State::Open(open) => Some(open.generator.untouched_ms()),
                State::Closed(_) => None,
            }
        };
        self.counters.set_active(false);
        self.changed.notify_waiters();
        untouched
    }

    /// Closes when the guard is dropped: a term that is cut off serves nothing any more.
    pub(crate) fn close_on_drop(self: Arc<Self>) -> CloseOnDrop {
        CloseOnDrop(self)
    }
}

/// See [`Dispenser::close_on_drop`].
pub(crate) struct CloseOnDrop(Arc<Dispenser>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if self.0.closed().is_none() {
            self.0.close("it stops");
        }
    }
}

#[cfg(test)]
mod tests {
    use snowflake::{ManualClock, layout::EPOCH_AT};

    use super::*;

    fn open(clock: &Arc<ManualClock>) -> Dispenser {
        let dispenser = Dispenser::new(clock.clone(), Counters::new(Vec::new()));
        let now = layout::since_epoch(clock.wall_ms());
        dispenser.open(Generator::new(0, now), now + 3_000, Lease::granted(1_000, clock.boot_ms()));
        dispenser
    }

    #[test]
    fn a_lapsed_lease_refuses_until_it_is_renewed() {
        let clock = Arc::new(ManualClock::at(EPOCH_AT + 1_000_000));
        let dispenser = open(&clock);
        assert!(dispenser.cut(1).is_ok());
        clock.pass(1_000);
        assert_eq!(dispenser.cut(1), Err(Refusal::Lapsed));
        let sent = clock.boot_ms();
        clock.pass(10);
        dispenser.extend(0, sent);
        assert!(dispenser.cut(1).is_ok());
    }

    #[test]
    fn setting_the_wall_clock_neither_ends_nor_extends_a_lease() {
        let clock = Arc::new(ManualClock::at(EPOCH_AT + 10_000_000));
        let dispenser = open(&clock);
        let first = dispenser.cut(1).expect("open")[0].first;
        clock.step(-3_600_000);
        let second = dispenser.cut(1).expect("the reservation goes on")[0].first;
        assert!(second > first);
        clock.step(3_600_000);
        clock.pass(1_000);
        clock.step(-1_000);
        assert_eq!(dispenser.cut(1), Err(Refusal::Lapsed));
    }

    #[test]
    fn a_closed_one_says_why() {
        let clock = Arc::new(ManualClock::at(EPOCH_AT));
        let dispenser = Arc::new(open(&clock));
        drop(dispenser.clone().close_on_drop());
        assert_eq!(dispenser.cut(1), Err(Refusal::NotActive("it stops".into())));
    }
}
