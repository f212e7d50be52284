//! One attempt at a time, with a pause after each failure.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::watch;

use crate::LinkError;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause. Half to all of a pause is waited, so that nodes do not come back in step.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Lets one attempt at a time be made at what may take long.
///
/// While nothing has failed, all callers wait for the attempt under way. After a failure nobody waits but the one whose
/// call begins the next attempt: who comes during the pause, or during that attempt, is told the last error at once.
///
/// An attempt is a task of its own: it depends on no caller's patience, and no caller that stops polling holds up others.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Closed when the attempt is over.
    attempt: Option<watch::Receiver<()>>,
    failures: Option<Failures>,
}

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    not_before: Instant,
    last: LinkError,
}

impl Gate {
    /// What `find` finds, if need be after `make` has put it there; `find` must be quick.
    ///
    /// # Errors
    /// What `make` failed with, now or last time.
    pub(crate) async fn pass<T, F>(
        &self,
        find: impl Fn() -> Option<T>,
        make: impl Fn() -> F,
    ) -> Result<T, LinkError>
    where
        F: Future<Output = Result<(), LinkError>> + Send + 'static,
    {
        loop {
            let mut attempt = {
                let mut state = self.state.lock();
                if let Some(found) = find() {
                    return Ok(found);
                }
                let under_way = state.attempt.clone().filter(|attempt| attempt.has_changed().is_ok());
                match (under_way, &state.failures) {
                    (Some(_), Some(failures)) => return Err(failures.last.clone()),
                    (None, Some(failures)) if Instant::now() < failures.not_before => {
                        return Err(failures.last.clone());
                    }
                    (Some(attempt), None) => attempt,
                    (None, _) => state.attempt.insert(self.attempt(make())).clone(),
                }
            };
            // It says nothing; it closes.
            let _ = attempt.changed().await;
        }
    }

    fn attempt(
        &self,
        make: impl Future<Output = Result<(), LinkError>> + Send + 'static,
    ) -> watch::Receiver<()> {
        let (over, attempt) = watch::channel(());
        let state = self.state.clone();
        tokio::spawn(async move {
            let made = make.await;
            let mut state = state.lock();
            state.failures = made.err().map(|last| {
                let in_a_row =
                    state.failures.as_ref().map_or(1, |failures| failures.in_a_row.saturating_add(1));
                Failures { in_a_row, not_before: Instant::now() + pause(in_a_row), last }
            });
            drop(over);
        });
        attempt
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

    #[tokio::test]
    async fn after_a_failure_nobody_tries_before_the_pause_is_over() {
        let (gate, attempts) = (Gate::default(), Arc::new(AtomicU32::new(0)));
        let make = || {
            let attempts = attempts.clone();
            async move {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err(LinkError::Unavailable("broken".into()))
            }
        };
        let (one, other) = tokio::join!(gate.pass(|| None::<()>, make), gate.pass(|| None::<()>, make));
        assert!(one.is_err() && other.is_err());
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        // At most 50 ms.
        while attempts.load(Ordering::Relaxed) == 1 {
            assert!(gate.pass(|| None::<()>, make).await.is_err());
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn at_first_all_wait_for_one_attempt() {
        let (gate, made) = (Gate::default(), Arc::new(Mutex::new(None)));
        let make = || {
            let made = made.clone();
            async move {
                tokio::task::yield_now().await;
                assert!(made.lock().replace(7).is_none(), "it is made once");
                Ok(())
            }
        };
        let find = || *made.lock();
        let (one, other) = tokio::join!(gate.pass(find, make), gate.pass(find, make));
        assert_eq!((one.ok(), other.ok()), (Some(7), Some(7)));
    }

    #[tokio::test]
    async fn an_attempt_goes_on_without_the_caller_that_began_it() {
        let (gate, made) = (Gate::default(), Arc::new(Mutex::new(None)));
        let make = || {
            let made = made.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                *made.lock() = Some(7);
                Ok(())
            }
        };
        let find = || *made.lock();
        let mut began = std::pin::pin!(gate.pass(find, make));
        assert!(futures_util::poll!(began.as_mut()).is_pending());
        // The first one is neither polled again nor dropped.
        assert_eq!(gate.pass(find, || async { panic!("one is under way") }).await.ok(), Some(7));
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        for (failures, most) in [(1, 50), (2, 100), (5, 800), (6, 1_000), (u32::MAX, 1_000)] {
            let (pause, most) = (pause(failures), Duration::from_millis(most));
            assert!(pause >= most / 2 && pause <= most, "{failures}: {pause:?}");
        }
    }
}
