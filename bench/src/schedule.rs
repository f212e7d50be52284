//! When a message is due at a fixed rate.
//!
//! The times are those of the plan, never of what became of it: a server that stalls does not push later messages back, so
//! its stall shows in all of them (no coordinated omission).

use std::time::{Duration, Instant};

/// Messages at even distances.
#[derive(Debug)]
pub struct Schedule {
    start: Instant,
    per_second: u64,
    given: u64,
}

impl Schedule {
    /// From `start` on, so many a second: 1 or more.
    #[must_use]
    pub fn new(start: Instant, per_second: u64) -> Self {
        Self { start, per_second: per_second.max(1), given: 0 }
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_due(&self) -> Instant {
        // From the count each time: a sum of distances would add up their rounding.
        let nanos = u128::from(self.given) * 1_000_000_000 / u128::from(self.per_second);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The next one, where it is due by `now`: when it was due, however late this is.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next_due();
        if due > now {
            return None;
        }
        self.given += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(schedule: &mut Schedule, now: Instant) -> Vec<Instant> {
        std::iter::from_fn(|| schedule.take(now)).collect()
    }

    #[test]
    fn a_second_holds_the_rate_exactly() {
        for rate in [1, 3, 7_000, 1_000_000] {
            let start = Instant::now();
            let mut schedule = Schedule::new(start, rate);
            let mut count = 0;
            for second in 1..=3 {
                count +=
                    all(&mut schedule, start + Duration::from_secs(second) - Duration::from_nanos(1)).len();
                assert_eq!(count as u64, second * rate, "{rate} a second after {second} s");
            }
        }
    }

    #[test]
    fn a_stall_moves_no_message() {
        let start = Instant::now();
        let (mut punctual, mut stalled) = (Schedule::new(start, 100), Schedule::new(start, 100));
        let mut expected = Vec::new();
        for ms in 0..1_000 {
            expected.extend(all(&mut punctual, start + Duration::from_millis(ms)));
        }
        // It looks once, a second late.
        assert_eq!(all(&mut stalled, start + Duration::from_millis(999)), expected);
        assert_eq!(expected[1] - expected[0], Duration::from_millis(10));
    }

    #[test]
    fn nothing_is_due_early() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 10);
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.take(start + Duration::from_millis(99)), None);
        assert_eq!(
            schedule.take(start + Duration::from_millis(100)),
            Some(start + Duration::from_millis(100))
        );
    }
}
