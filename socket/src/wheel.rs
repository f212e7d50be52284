//! One clock for the deadlines of all sessions: a wheel of slots, each a list of whom to look at.
//!
//! After Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987), scheme 4: no delay is longer than one turn. A session
//! costs one weak reference in one slot; a timer of its own would cost a place in the runtime's wheel and a wake-up of its task.

use std::{
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::clock::{Moment, millis};

/// Finer than the shortest delay by this factor: so much late may a deadline be.
const FINENESS: u64 = 16;

pub(crate) struct Wheel<T> {
    slots: Box<[Mutex<Vec<Weak<T>>>]>,
    tick_ms: u64,
    /// The last tick that was handled.
    handled: AtomicU64,
}

impl<T> Wheel<T> {
    /// For delays between these two.
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        let tick_ms = (millis(shortest) / FINENESS).clamp(5, 250);
        let slots = millis(longest) / tick_ms + 3;
        Self { slots: (0..slots).map(|_| Mutex::default()).collect(), tick_ms, handled: AtomicU64::new(0) }
    }

    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }

    /// Looks at `whom` at `at` or up to a tick later; at once if that has passed. A longer delay than the wheel has is cut: who is
    /// looked at too early asks again.
    pub(crate) fn insert(&self, at: Moment, whom: Weak<T>) {
        loop {
            let handled = self.handled.load(Ordering::Acquire);
            let tick = at.div_ceil(self.tick_ms).clamp(handled + 1, handled + self.slots.len() as u64 - 1);
            let mut slot = self.slot(tick).lock();
            // The tick may have passed before the lock was had.
            if self.handled.load(Ordering::Acquire) < tick {
                return slot.push(whom);
            }
        }
    }

    /// Takes all whose time has come.
    pub(crate) fn expired(&self, now: Moment) -> Vec<Weak<T>> {
        let current = now / self.tick_ms;
        let mut expired = Vec::new();
        while self.handled.load(Ordering::Relaxed) < current {
            let next = self.handled.load(Ordering::Relaxed) + 1;
            let mut slot = self.slot(next).lock();
            // Under the slot's lock: who inserts meanwhile either is taken now, or sees that this tick is over.
            self.handled.store(next, Ordering::Release);
            expired.append(&mut slot);
            // Returned to the allocator: after a burst the slots would keep its size for ever.
            *slot = Vec::new();
        }
        expired
    }

    fn slot(&self, tick: u64) -> &Mutex<Vec<Weak<T>>> {
        let index = tick % self.slots.len() as u64;
        &self.slots[usize::try_from(index).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SHORTEST: Duration = Duration::from_millis(160);
    const LONGEST: Duration = Duration::from_secs(2);

    #[test]
    fn each_is_found_when_its_time_has_come_and_not_before() {
        let wheel = Wheel::new(SHORTEST, LONGEST);
        let all: Vec<Arc<u64>> = (0..200).map(|number| Arc::new(number * 10)).collect();
        for one in &all {
            wheel.insert(**one, Arc::downgrade(one));
        }
        let mut found = 0;
        for now in (0..=2_100).step_by(7) {
            for one in wheel.expired(now) {
                let at = *one.upgrade().expect("still there");
                assert!(at <= now && now < at + 10 + 7 + 10, "at {at}, found at {now}");
                found += 1;
            }
        }
        assert_eq!(found, all.len());
    }

    #[test]
    fn a_time_that_has_passed_comes_with_the_next_tick() {
        let wheel = Wheel::new(SHORTEST, LONGEST);
        let one = Arc::new(());
        assert!(wheel.expired(1_000).is_empty());
        wheel.insert(5, Arc::downgrade(&one));
        assert_eq!(wheel.expired(1_010).len(), 1);
    }

    #[test]
    fn a_delay_that_is_too_long_comes_early_rather_than_at_once() {
        let wheel = Wheel::new(SHORTEST, LONGEST);
        let one = Arc::new(());
        wheel.insert(1_000_000, Arc::downgrade(&one));
        assert!(wheel.expired(1_990).is_empty());
        assert_eq!(wheel.expired(2_030).len(), 1);
    }

    #[test]
    fn nobody_is_lost_who_is_inserted_while_the_wheel_turns() {
        let wheel = Arc::new(Wheel::new(SHORTEST, LONGEST));
        let one = Arc::new(());
        let inserted = 20_000;
        let turning = std::thread::spawn({
            let wheel = wheel.clone();
            move || {
                let mut found = 0;
                let mut now = 0;
                while found < inserted {
                    now += 10;
                    found += wheel.expired(now).len();
                    assert!(now < 1 << 40, "found only {found}");
                }
                found
            }
        });
        for number in 0..inserted {
            wheel.insert(number as u64, Arc::downgrade(&one));
        }
        assert_eq!(turning.join().expect("no panic"), inserted);
    }
}
