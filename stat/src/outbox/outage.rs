//! A sink that takes nothing: counted, and logged when it begins, each minute, and when it ends.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wire::time::now_ms;

use super::Counters;

/// While nothing is taken, it is logged this often.
const REMIND: Duration = Duration::from_secs(60);

/// Whether the sink of a consumer takes anything.
pub(crate) struct Outage {
    consumer: &'static str,
    counters: Counters,
    since: Mutex<Option<Since>>,
}

/// Nothing is taken.
struct Since {
    began: Instant,
    logged: Instant,
}

impl Outage {
    pub(crate) fn new(consumer: &'static str, counters: Counters) -> Self {
        Self { consumer, counters, since: Mutex::new(None) }
    }

    /// Something was taken.
    pub(crate) fn ends(&self, target: &str) {
        let Some(since) = self.since.lock().take() else { return };
        self.counters.failing_since.set(0.0);
        let seconds = since.began.elapsed().as_secs();
        tracing::info!(
            consumer = self.consumer,
            target,
            seconds,
            "what waits in the outboxes is taken again"
        );
    }

    /// Something was not taken.
    pub(crate) fn goes_on(&self, target: &str, why: &str) {
        self.counters.failed.increment(1);
        let now = Instant::now();
        let mut since = self.since.lock();
        let seconds = match &mut *since {
            None => {
                self.counters.failing_since.set(now_ms() as f64 / 1_000.0);
                *since = Some(Since { began: now, logged: now });
                0
            }
            Some(since) if now.duration_since(since.logged) >= REMIND => {
                since.logged = now;
                since.began.elapsed().as_secs()
            }
            Some(_) => return,
        };
        drop(since);
        tracing::warn!(
            consumer = self.consumer,
            target,
            why,
            seconds,
            "nothing is taken; events wait in the store"
        );
    }
}
