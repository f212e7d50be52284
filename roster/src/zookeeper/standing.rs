//! When the roster is good: connected, listed, and everything of this process registered.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;
use wire::time::now_ms;

use crate::Health;

#[derive(Debug)]
pub(super) struct Standing {
    state: Mutex<State>,
    health: watch::Sender<Health>,
}

#[derive(Debug, Default)]
struct State {
    /// The session that is connected.
    session: Option<u64>,
    /// The snapshot was listed over this connection.
    listed: bool,
    /// Each registration, and the last session in which it was in place.
    placed: HashMap<u64, u64>,
}

impl Standing {
    pub(super) fn new() -> Self {
        let health = watch::Sender::new(Health::Suspect { since_at: now_ms() });
        metrics::gauge!("phalanx_roster_health").set(0.0);
        Self { state: Mutex::default(), health }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(super) fn connected(&self, session: u64) {
        self.change(|state| {
            state.session = Some(session);
            state.listed = false;
        });
    }

    pub(super) fn disconnected(&self) {
        self.change(|state| state.session = None);
    }

    pub(super) fn listed(&self) {
        self.change(|state| state.listed = true);
    }

    pub(super) fn placed(&self, registration: u64, session: u64) {
        self.change(|state| {
            state.placed.insert(registration, session);
        });
    }

    pub(super) fn left(&self, registration: u64) {
        self.change(|state| {
            state.placed.remove(&registration);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let good = state
            .session
            .is_some_and(|session| state.listed && state.placed.values().all(|placed| *placed == session));
        self.health.send_if_modified(|health| {
            if good == (*health == Health::Good) {
                return false;
            }
            *health = if good { Health::Good } else { Health::Suspect { since_at: now_ms() } };
            metrics::gauge!("phalanx_roster_health").set(if good { 1.0 } else { 0.0 });
            tracing::info!(health = ?*health, "the roster's health has changed");
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_needs_everything_of_this_session() {
        let standing = Standing::new();
        let health = standing.health();
        let good = || *health.borrow() == Health::Good;
        assert!(!good());
        standing.connected(1);
        assert!(!good());
        standing.listed();
        assert!(good());
        standing.placed(7, 1);
        assert!(good());
        standing.disconnected();
        assert!(!good());
        standing.connected(1);
        assert!(!good(), "it may have missed something");
        standing.listed();
        assert!(good());
        standing.disconnected();
        standing.connected(2);
        standing.listed();
        assert!(!good(), "a registration is not back");
        standing.placed(7, 2);
        assert!(good());
        standing.placed(8, 1);
        assert!(!good());
        standing.left(8);
        assert!(good());
    }
}
