//! [`Reports`] in memory: they need not survive the process.

use std::collections::BTreeMap;

use async_trait::async_trait;
use wire::Role;

use super::SqliteStore;
use crate::{Report, Reports, StoreError};

/// Nodes whose report is kept; beyond, the one that was reported longest ago is dropped.
const NODES: usize = 4_096;

#[derive(Default)]
pub(super) struct LastReports(BTreeMap<(Role, String), Report>);

impl LastReports {
    /// A report of an earlier start of the node than the one that is kept comes too late.
    fn put(&mut self, report: Report) {
        let key = (report.role, report.node.clone());
        if self.0.get(&key).is_some_and(|kept| kept.incarnation > report.incarnation) {
            return;
        }
        self.0.insert(key, report);
        if self.0.len() > NODES
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, report)| report.reported_at).map(|(key, _)| key.clone())
        {
            self.0.remove(&oldest);
        }
    }
}

#[async_trait]
impl Reports for SqliteStore {
    async fn put_report(&self, report: Report) -> Result<(), StoreError> {
        self.reports.lock().put(report);
        Ok(())
    }

    async fn reports(&self) -> Result<Vec<Report>, StoreError> {
        Ok(self.reports.lock().0.values().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use wire::Incarnation;

    use super::*;

    #[test]
    fn the_oldest_report_makes_room_at_the_bound() {
        let mut last = LastReports::default();
        for n in 0..=NODES as i64 {
            last.put(Report {
                role: Role::Spear,
                node: format!("spear-{n}"),
                incarnation: Incarnation(1),
                reported_at: n,
                counters: BTreeMap::new(),
            });
        }
        assert_eq!(last.0.len(), NODES);
        assert!(last.0.values().all(|report| report.reported_at > 0));
    }
}
