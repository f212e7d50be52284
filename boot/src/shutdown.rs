//! When to stop, and how long draining may take.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// Tells a node that it is to drain and end. Cheap to clone; all clones see the same request.
#[derive(Debug, Clone)]
pub struct Shutdown {
    request: Arc<Request>,
    drain_timeout: Duration,
}

/// Asks for the shutdown that its [`Shutdown`] waits for. Dropping it asks for nothing.
#[derive(Debug, Clone)]
pub struct ShutdownTrigger(Arc<Request>);

#[derive(Debug, Default)]
struct Request {
    token: CancellationToken,
    at: OnceLock<Instant>,
}

impl Shutdown {
    /// A shutdown that nobody has asked for yet, with the time that draining may take, and what asks for it.
    pub fn new(drain_timeout: Duration) -> (ShutdownTrigger, Self) {
        let request = Arc::<Request>::default();
        (ShutdownTrigger(request.clone()), Self { request, drain_timeout })
    }

    /// Waits until draining is asked for; returns at once if it was.
    pub async fn requested(&self) {
        self.request.token.cancelled().await;
    }

    /// Whether draining was asked for.
    pub fn is_requested(&self) -> bool {
        self.request.token.is_cancelled()
    }

    /// Cancelled when draining is asked for: for code that takes a token.
    pub fn token(&self) -> CancellationToken {
        self.request.token.child_token()
    }

    /// How long draining may take in all.
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// When draining must have ended; `None` until it is asked for. What has not ended by then is cut off.
    pub fn deadline(&self) -> Option<Instant> {
        self.request.at.get().map(|at| *at + self.drain_timeout)
    }

    /// How much of the drain time is left: all of it until draining is asked for, zero past the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline()
            .map_or(self.drain_timeout, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits until draining was asked for and its deadline has passed.
    pub async fn expired(&self) {
        self.requested().await;
        tokio::time::sleep(self.remaining()).await;
    }
}

impl ShutdownTrigger {
    /// Asks for it. The drain time counts from the first call; later calls change nothing.
    pub fn request(&self) {
        self.0.at.get_or_init(Instant::now);
        self.0.token.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clones_see_the_request_and_count_the_same_time() {
        let (trigger, shutdown) = Shutdown::new(Duration::from_secs(5));
        let other = shutdown.clone();
        assert!(!other.is_requested());
        assert_eq!(other.deadline(), None);
        assert_eq!(other.remaining(), Duration::from_secs(5));

        trigger.request();
        other.requested().await;
        assert!(other.token().is_cancelled());
        let first = shutdown.deadline().expect("asked for");
        trigger.request();
        assert_eq!(other.deadline(), Some(first));
        assert!(other.remaining() <= Duration::from_secs(5));
    }
}
