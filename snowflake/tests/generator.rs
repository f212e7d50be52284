//! Any sequence of clock steps, cuts, reservations, crashes and clean ends, on several workers at once: what generators
//! promise holds all the same. Real time does not pass; the sequence drives the clock.

use std::collections::BTreeMap;

use proptest::prelude::*;
use snowflake::{Generator, layout};
use wire::proto::idgen::Run;

const HOUR_MS: i64 = 3_600_000;

/// Two years after the epoch.
const NOW_MS: i64 = 63_072_000_000;

/// Five seconds of ids at once.
const COUNT_MAX: u32 = 20_000_000;

const WORKERS: usize = 3;

/// What happens next.
#[derive(Debug, Clone)]
enum Act {
    /// Somebody sets the clock, or time passes.
    Step(i64),
    Cut(u32),
    /// Time is reserved: so much beyond the clock, or beyond what was cut where that is later.
    Reserve(u64),
    /// The process dies; its next start knows only what was reserved.
    Crash,
    /// It ends cleanly, and gives back what it did not use.
    End,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (-HOUR_MS..=HOUR_MS).prop_map(Act::Step),
        1 => (-50 * HOUR_MS..=50 * HOUR_MS).prop_map(Act::Step),
        3 => (0..=20_i64).prop_map(Act::Step),
        6 => (1..=5_000_u32).prop_map(Act::Cut),
        1 => (1..=COUNT_MAX).prop_map(Act::Cut),
        6 => (0..=6_000_u64).prop_map(Act::Reserve),
        1 => Just(Act::Crash),
        1 => Just(Act::End),
    ]
}

/// One worker number, through all its starts.
struct Worker {
    number: u16,
    clock: i64,
    /// What is written down: no id at or above it has been cut.
    reserved_ms: u64,
    generator: Generator,
    last: Option<u64>,
}

impl Worker {
    fn new(number: u16) -> Self {
        let now = NOW_MS.unsigned_abs();
        Self { number, clock: NOW_MS, reserved_ms: now, generator: Generator::new(number, now), last: None }
    }

    /// Does it, and answers what was cut.
    fn act(&mut self, act: &Act) -> Result<Vec<Run>, TestCaseError> {
        match *act {
            Act::Step(ms) => self.clock = (self.clock + ms).max(0),
            Act::Reserve(ms) => {
                let from = self.now_ms().max(self.generator.untouched_ms());
                self.reserved_ms = self.reserved_ms.max(from + ms);
            }
            Act::Crash => self.generator = Generator::new(self.number, self.reserved_ms),
            Act::End => {
                self.reserved_ms = self.generator.untouched_ms();
                self.generator = Generator::new(self.number, self.reserved_ms);
            }
            Act::Cut(count) => return self.cut(count),
        }
        Ok(Vec::new())
    }

    fn cut(&mut self, count: u32) -> Result<Vec<Run>, TestCaseError> {
        let untouched = self.generator.untouched_ms();
        let Ok(runs) = self.generator.cut(count, self.now_ms(), self.reserved_ms) else {
            prop_assert_eq!(self.generator.untouched_ms(), untouched, "a refusal uses nothing up");
            return Ok(Vec::new());
        };
        prop_assert_eq!(runs.iter().map(|run| run.count).sum::<u32>(), count);
        for run in &runs {
            let last = run.first + u64::from(run.count) - 1;
            prop_assert!(self.last < Some(run.first), "{:?} then {run:?}", self.last);
            self.last = Some(last);
            for id in [run.first, last] {
                let time_ms = id >> (layout::WORKER_BITS + layout::SEQUENCE_BITS);
                prop_assert!(time_ms < self.reserved_ms, "{id} is above the reserved time");
                prop_assert!(time_ms >= self.now_ms(), "{id} is older than the clock");
                let worker = id >> layout::SEQUENCE_BITS & u64::from(layout::WORKER_MAX);
                prop_assert_eq!(worker, u64::from(self.number));
            }
        }
        prop_assert!(self.generator.untouched_ms() <= self.reserved_ms);
        Ok(runs)
    }

    fn now_ms(&self) -> u64 {
        self.clock.unsigned_abs()
    }
}

/// Runs by their first id; one that shares an id with another is refused.
#[derive(Default)]
struct Seen(BTreeMap<u64, u64>);

impl Seen {
    fn add(&mut self, run: &Run) -> Result<(), TestCaseError> {
        let end = run.first + u64::from(run.count);
        let before = self.0.range(..end).next_back();
        prop_assert!(before.is_none_or(|(_, other)| *other <= run.first), "{run:?} is there: {before:?}");
        self.0.insert(run.first, end);
        Ok(())
    }
}

/// Nothing is kept of a failure: what is printed repeats it.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ids_grow_are_unique_and_stay_below_what_is_reserved(
        numbers in prop::collection::btree_set(0..=layout::WORKER_MAX, WORKERS),
        acts in prop::collection::vec((0..WORKERS, act()), 1..150),
    ) {
        let mut workers: Vec<Worker> = numbers.into_iter().map(Worker::new).collect();
        let mut seen = Seen::default();
        for (worker, act) in &acts {
            for run in &workers[*worker].act(act)? {
                seen.add(run)?;
            }
        }
    }

    #[test]
    fn near_the_end_of_the_bits_nothing_runs_over(
        before_end in 0..10_u64,
        counts in prop::collection::vec(1..=20_000_u32, 1..20),
        step in -20..20_i64,
    ) {
        let mut clock = i64::try_from(layout::END_MS - before_end).expect("41 bits");
        let mut generator = Generator::new(layout::WORKER_MAX, clock.unsigned_abs());
        let mut last = 0;
        for count in counts {
            clock += step;
            let Ok(runs) = generator.cut(count, clock.unsigned_abs(), u64::MAX >> 22) else { continue };
            for run in runs {
                prop_assert!(run.first > last);
                last = run.first + u64::from(run.count) - 1;
                prop_assert!(i64::try_from(last).is_ok(), "{last} is negative to whoever reads it as signed");
            }
        }
    }
}
