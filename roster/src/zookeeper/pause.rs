//! The pause between two attempts.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Doubles from 100 ms to 2 s; each pause is drawn from half of it to all of it, so that processes do not act in step.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    ended: Option<Instant>,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: FIRST, ended: None }
    }
}

impl Pause {
    /// Waits. Begins anew where all went well for longer than the longest pause.
    pub(super) async fn wait(&mut self) {
        if self.ended.is_some_and(|ended| ended.elapsed() > LONGEST) {
            self.next = FIRST;
        }
        let jitter = rand::random_range(0.5..=1.0);
        tokio::time::sleep(self.next.mul_f64(jitter)).await;
        self.next = (self.next * 2).min(LONGEST);
        self.ended = Some(Instant::now());
    }
}
