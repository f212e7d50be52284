//! How many events a second are taken of somebody.
//!
//! What is kept of somebody is one number, 8 bytes ([`Tally`]); what holds for all is kept once ([`Rate`]). That is why this
//! is not the library that ticket uses: it keeps the rate beside each number, or hashes whose number it is, so that one who
//! floods would share it with somebody else.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// So many at once, and so many a second from then on (GCRA: the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct Rate {
    /// The time that one event takes, nanoseconds.
    each: u64,
    /// How far somebody may be ahead, nanoseconds.
    ahead: u64,
    began: Instant,
}

/// What somebody has had of a [`Rate`]: when it will be as if there had been nothing, nanoseconds after the rate began.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Rate {
    /// `None`, no limit, where `per_second` is 0. A burst of 0 is one second's worth.
    pub(crate) fn new(per_second: u32, burst: u32) -> Option<Self> {
        const SECOND: u64 = 1_000_000_000;
        let each = SECOND / u64::from(per_second.min(1_000_000_000)).max(1);
        let burst = if burst == 0 { per_second } else { burst };
        let ahead = each * u64::from(burst.max(1) - 1);
        (per_second > 0).then(|| Self { each, ahead, began: Instant::now() })
    }

    /// Counts one event.
    ///
    /// # Errors
    /// It is one too many, and is not counted; after how long the next one is taken.
    pub(crate) fn take(&self, tally: &Tally) -> Result<(), Duration> {
        self.take_at(tally, u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn take_at(&self, Tally(had): &Tally, now: u64) -> Result<(), Duration> {
        let most = now.saturating_add(self.ahead);
        let take = |had: u64| (had <= most).then(|| had.max(now).saturating_add(self.each));
        let taken = had.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|had| Duration::from_nanos(had - most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How many of `asked` are taken at once.
    fn taken(rate: &Rate, tally: &Tally, now: u64, asked: usize) -> usize {
        (0..asked).filter(|_| rate.take_at(tally, now).is_ok()).count()
    }

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let (rate, tally) = (Rate::new(10, 4).expect("a limit"), Tally::default());
        assert_eq!(taken(&rate, &tally, 50 * MS, 100), 4);
        assert_eq!(rate.take_at(&tally, 50 * MS), Err(Duration::from_millis(100)));
        assert_eq!(rate.take_at(&tally, 149 * MS), Err(Duration::from_millis(1)), "a refusal costs nothing");
        assert_eq!(taken(&rate, &tally, 150 * MS, 100), 1);
        let in_the_next_ten_seconds: usize =
            (1..=1_000).map(|at| taken(&rate, &tally, (150 + 10 * at) * MS, 1)).sum();
        assert_eq!(in_the_next_ten_seconds, 100);
        assert_eq!(
            taken(&rate, &tally, 3_600_000 * MS, 100),
            4,
            "no more than the burst, however long one has waited"
        );
    }

    #[test]
    fn each_has_its_own() {
        let rate = Rate::new(10, 4).expect("a limit");
        let (one, other) = (Tally::default(), Tally::default());
        assert_eq!([taken(&rate, &one, 0, 9), taken(&rate, &other, 0, 9)], [4, 4]);
        assert!(rate.take(&Tally::default()).is_ok());
    }

    #[test]
    fn no_rate_is_no_limit_and_no_burst_a_second() {
        assert!(Rate::new(0, 100).is_none());
        assert_eq!(taken(&Rate::new(7, 0).expect("a limit"), &Tally::default(), 0, 100), 7);
        assert_eq!(taken(&Rate::new(u32::MAX, 1).expect("a limit"), &Tally::default(), 0, 3), 1);
    }
}
