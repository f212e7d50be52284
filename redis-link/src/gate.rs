//! One attempt at a time, with a pause after each failure.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::Mutex as Turn;

use crate::LinkError;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause. Half to all of a pause is waited, so that nodes do not come back in step.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Lets one caller at a time try what may take long.
///
/// While nothing has failed, the others wait for that caller's result. After a failure nobody waits: who comes during
/// the pause, or while somebody else tries again, is told the last error at once.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    turn: Turn<()>,
    failures: Mutex<Option<Failures>>,
}

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    not_before: Instant,
    last: LinkError,
}

/// Counts a failure unless it is told otherwise: who makes an attempt may give up in the middle.
struct Attempt<'a> {
    gate: &'a Gate,
    failure: Option<LinkError>,
}

impl Gate {
    /// What `find` finds, or else what `make` makes; `find` is asked again once it is this caller's turn.
    ///
    /// # Errors
    /// What `make` failed with, now or last time.
    pub(crate) async fn pass<T>(
        &self,
        find: impl Fn() -> Option<T>,
        make: impl Future<Output = Result<T, LinkError>>,
    ) -> Result<T, LinkError> {
        if let Some(found) = find() {
            return Ok(found);
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => match self.last() {
                Some(error) => return Err(error),
                None => self.turn.lock().await,
            },
        };
        if let Some(found) = find() {
            return Ok(found);
        }
        if let Some(failures) = &*self.failures.lock()
            && Instant::now() < failures.not_before
        {
            return Err(failures.last.clone());
        }
        let given_up = LinkError::Unavailable("an attempt to reach it took too long".into());
        let mut attempt = Attempt { gate: self, failure: Some(given_up) };
        let made = make.await;
        attempt.failure = made.as_ref().err().cloned();
        made
    }

    fn last(&self) -> Option<LinkError> {
        self.failures.lock().as_ref().map(|failures| failures.last.clone())
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut failures = self.gate.failures.lock();
        *failures = self.failure.take().map(|last| {
            let in_a_row = failures.as_ref().map_or(1, |failures| failures.in_a_row.saturating_add(1));
            Failures { in_a_row, not_before: Instant::now() + pause(in_a_row), last }
        });
    }
}

/// How long to pause after so many failures in a row: about 50 ms after the first, doubling to 1 s, with jitter.
pub fn pause(failures: u32) -> Duration {
    let whole = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(PAUSE_MAX);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn broken() -> LinkError {
        LinkError::Unavailable("broken".into())
    }

    #[tokio::test]
    async fn after_a_failure_nobody_tries_before_the_pause_is_over() {
        let (gate, attempts) = (Gate::default(), AtomicU32::new(0));
        let make = || async {
            attempts.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(broken())
        };
        let (one, other) = tokio::join!(gate.pass(|| None, make()), gate.pass(|| None, make()));
        assert!(one.is_err() && other.is_err());
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        // At most 50 ms.
        while attempts.load(Ordering::Relaxed) == 1 {
            assert!(gate.pass(|| None, make()).await.is_err());
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn at_first_all_wait_for_the_one_that_tries() {
        let (gate, made) = (Gate::default(), Mutex::new(None));
        let make = || async {
            tokio::task::yield_now().await;
            assert!(made.lock().replace(7).is_none(), "only one makes it");
            Ok(7)
        };
        let find = || *made.lock();
        let (one, other) = tokio::join!(gate.pass(find, make()), gate.pass(find, make()));
        assert_eq!((one.ok(), other.ok()), (Some(7), Some(7)));
    }

    #[tokio::test]
    async fn an_attempt_that_is_given_up_counts_as_failed() {
        let gate = Gate::default();
        let never = gate.pass(|| None::<()>, std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
        assert!(gate.pass(|| None, async { Ok(()) }).await.is_err(), "within the pause");
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        for (failures, most) in [(1, 50), (2, 100), (5, 800), (6, 1_000), (u32::MAX, 1_000)] {
            let (pause, most) = (pause(failures), Duration::from_millis(most));
            assert!(pause >= most / 2 && pause <= most, "{failures}: {pause:?}");
        }
    }
}
