//! What was found out last, until it is in doubt.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{LinkError, gate::Gate};

/// It is not found out more often than this, however often it is doubted: who tries in between meets what was found
/// last, and may fail with it.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Something that must be asked for, and may change.
#[derive(Debug)]
pub(crate) struct Known<T> {
    gate: Gate,
    state: Arc<Mutex<State<T>>>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    doubted: bool,
    found_at: Instant,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        let state = State { value: None, doubted: false, found_at: Instant::now() };
        Self { gate: Gate::default(), state: Arc::new(Mutex::new(state)) }
    }
}

impl<T: Clone + Send + 'static> Known<T> {
    /// The value; where there is none or it is in doubt, `find` finds it, once at a time, and is given the former
    /// one. Where that fails the former one is used on, if there is one: whom it names may still serve.
    ///
    /// # Errors
    /// What `find` failed with.
    pub(crate) async fn get<F>(&self, find: impl Fn(Option<T>) -> F) -> Result<T, LinkError>
    where
        F: Future<Output = Result<T, LinkError>> + Send + 'static,
    {
        let make = || {
            let (finding, state) = (find(self.last()), self.state.clone());
            async move {
                let value = Some(finding.await?);
                *state.lock() = State { value, doubted: false, found_at: Instant::now() };
                Ok(())
            }
        };
        match (self.gate.pass(|| self.certain(), make).await, self.last()) {
            (Ok(value), _) | (Err(_), Some(value)) => Ok(value),
            (Err(error), None) => Err(error),
        }
    }

    fn certain(&self) -> Option<T> {
        let state = self.state.lock();
        let usable = !state.doubted || state.found_at.elapsed() < INTERVAL_MIN;
        state.value.clone().filter(|_| usable)
    }

    /// What was found last.
    pub(crate) fn last(&self) -> Option<T> {
        self.state.lock().value.clone()
    }

    pub(crate) fn doubt(&self) {
        self.state.lock().doubted = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn it_is_found_once_and_again_when_in_doubt_but_not_too_often() {
        let (known, finds) = (Known::default(), Arc::new(AtomicU32::new(0)));
        let find = |_| {
            let finds = finds.clone();
            async move { Ok(finds.fetch_add(1, Ordering::Relaxed) + 1) }
        };
        let began = Instant::now();
        assert_eq!(known.get(find).await.ok(), Some(1));
        assert_eq!(known.get(find).await.ok(), Some(1), "no doubt");
        known.doubt();
        while known.get(find).await.ok() == Some(1) {
            tokio::task::yield_now().await;
        }
        assert!(began.elapsed() >= INTERVAL_MIN);
        assert_eq!(known.get(find).await.ok(), Some(2), "no doubt any more");
    }

    #[tokio::test]
    async fn the_former_one_is_used_while_nobody_knows_better() {
        let known = Known::default();
        let fails = |_| async { Err(LinkError::Unavailable("nobody answers".into())) };
        assert!(known.get(fails).await.is_err());
        while known.get(|_| async { Ok(1) }).await.is_err() {
            tokio::task::yield_now().await;
        }
        known.doubt();
        let began = Instant::now();
        while began.elapsed() < 2 * INTERVAL_MIN {
            assert_eq!(known.get(fails).await.ok(), Some(1));
            tokio::task::yield_now().await;
        }
    }
}
