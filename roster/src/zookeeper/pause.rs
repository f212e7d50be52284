//! The pause between two attempts.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Doubles from 50 ms to 2 s, and each is lengthened by a random part, so that processes do not act in step.
#[derive(Debug)]
pub(super) struct Pause {
    pauses: ExponentialBackoff,
    ended: Option<Instant>,
}

impl Default for Pause {
    fn default() -> Self {
        Self { pauses: pauses(), ended: None }
    }
}

impl Pause {
    /// Waits. Begins anew where all went well for longer than the longest pause.
    pub(super) async fn wait(&mut self) {
        if self.ended.is_some_and(|ended| ended.elapsed() > LONGEST) {
            self.pauses = pauses();
        }
        tokio::time::sleep(self.pauses.next().unwrap_or(LONGEST)).await;
        self.ended = Some(Instant::now());
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}
