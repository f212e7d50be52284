//! The pause between two attempts.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Doubles from 50 ms to 1 s, and each is lengthened by a random part of itself, so that processes do not act in step.
#[derive(Debug)]
pub(super) struct Pause {
    longest: Duration,
    pauses: ExponentialBackoff,
    ended: Option<Instant>,
}

impl Default for Pause {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Pause {
    /// Pauses that stay below twice this.
    pub(super) fn up_to(longest: Duration) -> Self {
        let longest = longest.min(LONGEST);
        Self { longest, pauses: pauses(longest), ended: None }
    }

    /// Waits. Begins anew where all went well for longer than the longest pause.
    pub(super) async fn wait(&mut self) {
        if self.ended.is_some_and(|ended| ended.elapsed() > LONGEST) {
            self.pauses = pauses(self.longest);
        }
        tokio::time::sleep(self.pauses.next().unwrap_or(self.longest)).await;
        self.ended = Some(Instant::now());
    }
}

fn pauses(longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}
