//! The two clocks. They come in through a value, so that tests drive them by hand.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, in milliseconds since the Unix epoch: it may be set forward and back.
    fn wall_ms(&self) -> i64;

    /// Milliseconds since the machine booted, time asleep included: it never goes back.
    fn boot_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        wire::time::now_ms()
    }

    fn boot_ms(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        // Neither is negative on a running machine.
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    }
}

/// A test aid: the machine's clocks, the wall clock moved by what somebody says.
#[derive(Debug, Default)]
pub struct MovedClock {
    by_ms: AtomicI64,
}

impl MovedClock {
    /// The wall clock shows so many milliseconds more, or less, than the machine's. Answers whether that is a change.
    pub fn move_by(&self, ms: i64) -> bool {
        self.by_ms.swap(ms, Ordering::Relaxed) != ms
    }
}

impl Clock for MovedClock {
    fn wall_ms(&self) -> i64 {
        SystemClock.wall_ms().saturating_add(self.by_ms.load(Ordering::Relaxed))
    }

    fn boot_ms(&self) -> u64 {
        SystemClock.boot_ms()
    }
}

/// A test aid: clocks that stand still until they are moved.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    boot: AtomicU64,
}

impl ManualClock {
    /// The wall clock shows `wall_ms`, the boot clock 1.
    pub fn at(wall_ms: i64) -> Self {
        Self { wall: AtomicI64::new(wall_ms), boot: AtomicU64::new(1) }
    }

    /// Real time goes by: both clocks move.
    pub fn pass(&self, ms: u64) {
        self.boot.fetch_add(ms, Ordering::Relaxed);
        self.step(i64::try_from(ms).unwrap_or(i64::MAX));
    }

    /// Somebody sets the wall clock.
    pub fn step(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn boot_ms(&self) -> u64 {
        self.boot.load(Ordering::Relaxed)
    }
}
