//! What this stat node has seen of the cluster: read once a second, so that no request asks the store for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use boot::Condition;
use parking_lot::Mutex;
use roster::Snapshot;
use store::{Report, Store};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, Role, time::now_ms};

use crate::{
    history::{Columns, History},
    loads::Loads,
    nodes::{self, LOST_FOR_MS, Node},
    totals::{self, Totals},
};

/// How often the reports are read.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The most records of lost nodes that are remembered; beyond it those that left first are forgotten.
const SEEN_MAX: usize = 1_000;

/// The last reports, the history and the roster's snapshot. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Observed {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    state: Arc<Mutex<State>>,
    loads: Loads,
}

struct State {
    reports: Vec<Report>,
    history: History,
    /// Records that the roster held, with when it last did.
    seen: BTreeMap<(Role, Arc<str>), (i64, Arc<NodeRecord>)>,
}

impl Observed {
    /// `loads` is told of each reading.
    pub(crate) fn new(snapshot: watch::Receiver<Arc<Snapshot>>, history: History, loads: Loads) -> Self {
        let state = State { reports: Vec::new(), history, seen: BTreeMap::new() };
        Self { snapshot, state: Arc::new(Mutex::new(state)), loads }
    }

    /// Reads the reports every second until `stop`. While the store does not answer, the last ones stay and `condition`
    /// does not hold.
    pub(crate) async fn follow(self, store: Arc<dyn Store>, condition: Condition, stop: CancellationToken) {
        let mut tick = tokio::time::interval(SAMPLE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = store.see_consumers().await {
                tracing::debug!(%error, "what was known of consumers counts");
            }
            match store.reports().await {
                Ok(reports) => {
                    self.take(reports, now_ms());
                    condition.ok("answers");
                }
                Err(error) => condition.waiting(error.to_string()),
            }
        }
    }

    fn take(&self, reports: Vec<Report>, now: i64) {
        let snapshot = self.snapshot();
        self.loads.offer(&snapshot, &reports, now);
        let mut state = self.state.lock();
        state.history.take(&reports);
        state.history.forget_before(now - LOST_FOR_MS);
        for record in snapshot.nodes() {
            state.seen.insert((record.role, record.id.clone()), (now, record.clone()));
        }
        state.seen.retain(|_, (at, _)| *at >= now - LOST_FOR_MS);
        while state.seen.len() > SEEN_MAX.max(snapshot.nodes().count()) {
            let Some(first) = state.seen.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone())
            else {
                break;
            };
            state.seen.remove(&first);
        }
        state.reports = reports;
    }

    /// The roster's snapshots, as they come.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// The roster's last good snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Every node.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let snapshot = self.snapshot();
        let state = self.state.lock();
        let seen = Snapshot::new(state.seen.values().map(|(_, record)| NodeRecord::clone(record)));
        nodes::nodes(&snapshot, &state.reports, &seen, now_ms())
    }

    /// One node, of whichever role; ids differ between roles unless the settings make them the same.
    pub(crate) fn node(&self, id: &str) -> Option<Node> {
        self.nodes().into_iter().find(|node| &*node.id == id)
    }

    /// A node's counters over the last `window_ms`, counted back from its last report.
    pub(crate) fn history(&self, node: &Node, window_ms: i64, max_points: usize) -> Columns {
        let since = node.reported_at.unwrap_or_else(now_ms).saturating_sub(window_ms);
        let state = self.state.lock();
        state
            .history
            .track(node.role, &node.id)
            .map(|track| track.columns(since, max_points))
            .unwrap_or_default()
    }

    /// Sums over the live spears.
    pub(crate) fn totals(&self) -> Totals {
        let snapshot = self.snapshot();
        let state = self.state.lock();
        totals::totals(&snapshot, &state.reports, &state.history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::tests::report, nodes::State as NodeState, nodes::tests::record};

    #[test]
    fn a_node_that_leaves_the_roster_keeps_its_addresses_while_it_is_lost() {
        let (sender, receiver) = watch::channel(Arc::new(Snapshot::new([record("a", 1)])));
        let observed =
            Observed::new(receiver, History::new(10, 10, 10), Loads::new(CancellationToken::new()));
        let now = now_ms();
        observed.take(vec![report("a", 1, now, &[("connections", 1.0)])], now);
        assert_eq!(observed.totals().connections, 1);
        sender.send_replace(Arc::new(Snapshot::default()));
        observed.take(vec![report("a", 1, now, &[("connections", 1.0)])], now + 1);
        let node = observed.node("a").expect("it reported just now");
        assert_eq!((node.state, node.port), (NodeState::Lost, Some(1)));
        assert_eq!(observed.totals().connections, 0);
        assert_eq!(observed.history(&node, 1_000, 10).at, [now]);
    }
}
