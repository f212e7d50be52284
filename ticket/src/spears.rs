//! Keeps the ring as the roster's snapshot is.

use std::sync::Arc;

use arc_swap::ArcSwap;
use boot::Condition;
use metrics::{Counter, Gauge, Label, counter, gauge};
use roster::{Health, Roster, Snapshot};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, Role};

use crate::ring::Ring;

/// Follows the roster; requests read the ring without waiting for anybody.
pub(crate) struct Spears {
    ring: Arc<ArcSwap<Ring>>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    health: watch::Receiver<Health>,
    condition: Condition,
    available: Gauge,
    rebuilt: Counter,
    seen_good: bool,
}

impl Spears {
    /// The ring of what the roster shows now. `condition` is told what [`Spears::follow`] finds.
    pub(crate) fn new(roster: &dyn Roster, condition: Condition, labels: Vec<Label>) -> Self {
        let snapshot = roster.watch();
        let ring = Ring::of(&snapshot.borrow());
        Self {
            ring: Arc::new(ArcSwap::from_pointee(ring)),
            snapshot,
            health: roster.health(),
            condition,
            available: gauge!("phalanx_ticket_spears_available", labels.clone()),
            rebuilt: counter!("phalanx_ticket_ring_rebuilds_total", labels),
            seen_good: false,
        }
    }

    /// The ring, always the latest.
    pub(crate) fn ring(&self) -> Arc<ArcSwap<Ring>> {
        self.ring.clone()
    }

    /// Rebuilds the ring whenever the available spears change, until `stop`.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        loop {
            self.update();
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.snapshot.changed() => if changed.is_err() { return },
                changed = self.health.changed() => if changed.is_err() { return },
            }
        }
    }

    fn update(&mut self) {
        let snapshot = self.snapshot.borrow_and_update().clone();
        let available: Vec<Arc<NodeRecord>> = snapshot.available(Role::Spear).cloned().collect();
        let spears = available.len();
        if available != self.ring.load().nodes() {
            self.ring.store(Arc::new(Ring::new(available)));
            self.rebuilt.increment(1);
            tracing::info!(spears, "the ring has changed");
        }
        self.available.set(spears as f64);
        self.report(spears);
    }

    /// Ready from the first good snapshot on. A node without any spear is ready too: it answers, with `no_spear`. One
    /// that lost the roster goes on with the last snapshot and only says so: were it red, an outage of the roster would
    /// close the door of the whole cluster.
    fn report(&mut self, spears: usize) {
        match *self.health.borrow_and_update() {
            Health::Good => {
                self.seen_good = true;
                self.condition.ok(format!("{spears} spears available"));
            }
            Health::Suspect { since_at } if self.seen_good => self.condition.ok(format!(
                "the roster is out of reach since {since_at}: serving {spears} spears of the last snapshot"
            )),
            Health::Suspect { .. } => self.condition.waiting("the roster cannot be reached"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use boot::{Cluster, Readiness};
    use wire::NodeState;

    use super::*;
    use crate::testing;

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let budget = Duration::from_secs(5);
        let polled = tokio::time::timeout(budget, async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        polled.await.unwrap_or_else(|_| panic!("not within {budget:?}: {what}"));
    }

    #[tokio::test]
    async fn the_ring_follows_spears_that_come_drain_and_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let cluster = Cluster::for_test(directory.path()).await.expect("a cluster");
        let readiness = Readiness::default();
        let condition = readiness.condition("roster", "starting");
        let spears = Spears::new(&*cluster.roster, condition, Vec::new());
        let ring = spears.ring();
        let stop = CancellationToken::new();
        let following = tokio::spawn(spears.follow(stop.clone()));

        let spear = cluster.roster.register(testing::spear("spear-1")).await.expect("registers");
        let count = || ring.load().nodes().len();
        until("the spear is on the ring", || count() == 1).await;
        until("readiness says so", || readiness.report().conditions[0].detail.starts_with("1 spears")).await;
        spear.set_state(NodeState::Draining).await.expect("drains");
        until("it is off the ring while it drains", || count() == 0).await;
        assert!(readiness.is_ready(), "without spears ticket still answers");
        spear.set_state(NodeState::Up).await.expect("is up again");
        until("it is back", || count() == 1).await;
        spear.leave().await;
        until("it has left", || count() == 0).await;

        stop.cancel();
        following.await.expect("following ends");
    }
}
