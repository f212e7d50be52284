//! Cuts runs of ids. No clock and no I/O: the time comes in with each call.

use wire::proto::idgen::Run;

use crate::layout::{self, END_MS, IDS_PER_MS};

/// Ids of one worker, each above all before.
#[derive(Debug)]
pub struct Generator {
    worker: u16,
    /// The next free place: logical milliseconds since the epoch times [`IDS_PER_MS`], plus the sequence.
    next: u64,
}

/// Not so many ids are left below the bound.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not so many ids are left below the time that is reserved")]
pub struct Exhausted;

impl Generator {
    /// Ids of `worker` (0 to 1023) from logical time `floor_ms` on, in milliseconds since the epoch.
    pub fn new(worker: u16, floor_ms: u64) -> Self {
        Self { worker, next: floor_ms.min(END_MS) * IDS_PER_MS }
    }

    /// Cuts `count` ids, ascending, at the clock's `now_ms` or later, all below `until_ms` (both since the epoch).
    ///
    /// When a millisecond's ids are used up, or the clock stands behind, logical time goes ahead of the clock.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is used up then.
    pub fn cut(&mut self, count: u32, now_ms: u64, until_ms: u64) -> Result<Vec<Run>, Exhausted> {
        let end_of_time = until_ms.min(END_MS) * IDS_PER_MS;
        let start = self.next.max(now_ms.min(END_MS) * IDS_PER_MS);
        let end = start + u64::from(count);
        if end > end_of_time {
            return Err(Exhausted);
        }
        self.next = end;
        Ok(self.runs(start, end))
    }

    /// The first millisecond, since the epoch, of which no id has been cut.
    pub fn untouched_ms(&self) -> u64 {
        self.next.div_ceil(IDS_PER_MS)
    }

    /// Within a millisecond ids are consecutive; between two stand the worker's bits.
    fn runs(&self, mut start: u64, end: u64) -> Vec<Run> {
        let milliseconds = (end - 1) / IDS_PER_MS - start / IDS_PER_MS + 1;
        let mut runs = Vec::with_capacity(usize::try_from(milliseconds).unwrap_or(0));
        while start < end {
            let (time_ms, sequence) = (start / IDS_PER_MS, start % IDS_PER_MS);
            let stop = end.min((time_ms + 1) * IDS_PER_MS);
            let count = u32::try_from(stop - start).unwrap_or(u32::MAX);
            runs.push(Run { first: layout::compose(time_ms, self.worker, sequence).0, count });
            start = stop;
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_millisecond_runs_over_into_the_next() {
        let mut generator = Generator::new(3, 0);
        let runs = generator.cut(4_095, 10, 100).expect("below the bound");
        assert_eq!(runs, [Run { first: 10 << 22 | 3 << 12, count: 4_095 }]);
        let runs = generator.cut(2, 10, 100).expect("below the bound");
        assert_eq!(
            runs,
            [
                Run { first: 10 << 22 | 3 << 12 | 4_095, count: 1 },
                Run { first: 11 << 22 | 3 << 12, count: 1 }
            ]
        );
        assert_eq!(generator.untouched_ms(), 12);
    }

    #[test]
    fn nothing_is_cut_at_or_above_the_bound() {
        let mut generator = Generator::new(0, 0);
        assert_eq!(generator.cut(4_097, 10, 11), Err(Exhausted));
        assert!(generator.cut(4_096, 10, 11).is_ok(), "a refused request uses nothing up");
        assert_eq!(generator.cut(1, 10, 11), Err(Exhausted));
        assert_eq!(generator.cut(1, 11, 11), Err(Exhausted));
        assert_eq!(
            Generator::new(0, 0).cut(1, u64::MAX >> 22, u64::MAX >> 22),
            Err(Exhausted),
            "the epoch's end"
        );
    }
}
