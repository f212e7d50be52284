//! Waiting for what a node needs, as long as it takes.

use std::{fmt::Display, future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use roster::RosterError;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::Condition;

/// Between two attempts, at first and at most; jitter keeps the nodes of a cluster from asking in step.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether trying again later may help.
pub trait Passing: Display {
    /// `false`: it fails the same way each time.
    fn is_passing(&self) -> bool;
}

impl Passing for StoreError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}

impl Passing for RosterError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Tries `attempt` until it succeeds, and shows in `condition` what it waits for meanwhile. `None` once `stop` is cancelled.
///
/// # Errors
/// The first error that does not pass by waiting.
pub async fn persist<T, E, A, F>(
    condition: &Condition,
    stop: &CancellationToken,
    attempt: A,
) -> Result<Option<T>, E>
where
    E: Passing,
    A: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    persist_with(pauses().build(), condition, stop, attempt).await
}

async fn persist_with<T, E, A, F>(
    pauses: ExponentialBackoff,
    condition: &Condition,
    stop: &CancellationToken,
    mut attempt: A,
) -> Result<Option<T>, E>
where
    E: Passing,
    A: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    let mut told = false;
    for pause in pauses {
        let error = match stop.run_until_cancelled(attempt()).await {
            None => return Ok(None),
            Some(Ok(done)) => return Ok(Some(done)),
            Some(Err(error)) if error.is_passing() => error,
            Some(Err(error)) => return Err(error),
        };
        condition.waiting(error.to_string());
        // Once is enough for the log; `/readyz` shows it for as long as it lasts.
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(%error, "waiting");
        }
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(None)
}

/// Pauses that grow, without an end.
fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
}

/// The pauses before a process that died is started again: from `first` to `longest`, doubling, without an end.
pub fn backoff(first: Duration, longest: Duration) -> ExponentialBackoff {
    pauses().with_min_delay(first).with_max_delay(longest).build()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::Readiness;

    #[tokio::test]
    async fn it_waits_for_what_passes_and_says_so() {
        let readiness = Readiness::default();
        let condition = readiness.condition("store", "starting");
        let tries = AtomicU32::new(0);
        let attempt = || async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0..20 => Err(StoreError::Unavailable("nobody listens on 6379".into())),
                number => Ok(number),
            }
        };
        let stop = CancellationToken::new();
        let quickly = backoff(Duration::from_millis(1), Duration::from_millis(1));
        let passed = persist_with(quickly, &condition, &stop, attempt).await;
        assert_eq!(passed.expect("it passes"), Some(20));
        assert!(readiness.report().conditions[0].detail.contains("nobody listens on 6379"));
    }

    #[tokio::test]
    async fn it_ends_when_asked_and_with_what_does_not_pass() {
        let condition = Readiness::default().condition("store", "starting");
        let stop = CancellationToken::new();
        let corrupt = persist(&condition, &stop, || async { Err::<(), _>(StoreError::Corrupt("x".into())) });
        assert!(matches!(corrupt.await, Err(StoreError::Corrupt(_))));
        stop.cancel();
        let stopped =
            persist(&condition, &stop, || async { Err::<(), _>(StoreError::Unavailable("x".into())) });
        assert!(matches!(stopped.await, Ok(None)));
    }
}
