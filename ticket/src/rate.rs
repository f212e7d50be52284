//! How often one address or one user may ask.

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};

/// Slots of one limiter: 8 bytes each, 512 KiB in all, however many ask.
const SLOTS: usize = 1 << 16;

/// A limit for each key, in memory that does not grow.
///
/// Keys are hashed, with a seed that nobody outside knows, into a fixed number of slots. Two that share a slot share its
/// limit: rare, harmless at generous limits, and no one can choose whom to share with.
#[derive(Debug)]
pub(crate) struct KeyedLimit {
    limiter: Option<Limiter>,
    seed: RandomState,
}

type Limiter = RateLimiter<u64, Slots, MonotonicClock, NoOpMiddleware<<MonotonicClock as Clock>::Instant>>;

impl KeyedLimit {
    /// `burst` at once, refilled at `per_second`. A rate of 0 sets no limit; a burst of 0 is one second's worth.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|per_second| {
            let burst = NonZeroU32::new(burst).unwrap_or(per_second);
            RateLimiter::new(Quota::per_second(per_second).allow_burst(burst), Slots::new(), MonotonicClock)
        });
        Self { limiter, seed: RandomState::new() }
    }

    /// Counts one request of `key`.
    ///
    /// # Errors
    /// After how long the next one is let through.
    pub(crate) fn check(&self, key: &impl Hash) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter
            .check_key(&self.seed.hash_one(key))
            .map_err(|until| until.wait_time_from(MonotonicClock.now()))
    }
}

struct Slots(Box<[InMemoryState]>);

impl Slots {
    fn new() -> Self {
        Self(std::iter::repeat_with(InMemoryState::default).take(SLOTS).collect())
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slots({})", self.0.len())
    }
}

impl StateStore for Slots {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, hash: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let slot = *hash as usize % self.0.len();
        self.0[slot].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_key_waits_and_others_do_not() {
        let limit = KeyedLimit::new(1, 3);
        assert!((0..3).all(|_| limit.check(&"alice").is_ok()));
        let wait = limit.check(&"alice").expect_err("the burst is used up");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        // One of a few others may share the slot; not all of them do.
        assert!(["bob", "carol", "dave"].iter().any(|user| limit.check(user).is_ok()));
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        let limit = KeyedLimit::new(0, 1);
        assert!((0..1000).all(|_| limit.check(&"alice").is_ok()));
    }
}
