//! The nodes of the cluster as back ends and the monitor see them: the roster joined with the reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use roster::Snapshot;
use serde::Serialize;
use store::Report;
use utoipa::ToSchema;
use wire::{Incarnation, NodeRecord, NodeState, Role};

/// How long a node that left the roster is still shown as lost after its last report.
pub(crate) const LOST_FOR_MS: i64 = 3_600_000;

/// Whether a node takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// In the roster, takes new work.
    Up,
    /// In the roster, takes nothing new.
    Draining,
    /// It reported within the last hour and is not in the roster any more.
    Lost,
}

/// One node. Of a lost one, what only the roster knew is there if this stat node had seen it, else `null`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Node {
    #[schema(value_type = String)]
    pub id: Arc<str>,
    /// `ticket`, `spear`, `idgen`, `stat` or `minions-ui`.
    #[schema(value_type = String)]
    pub role: Role,
    pub state: State,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub public_url: Option<String>,
    pub admin_url: Option<String>,
    pub version: Option<String>,
    pub started_at: Option<i64>,
    pub uptime_ms: Option<i64>,
    pub weight: Option<u32>,
    /// Which start of the node this is; later ones are higher.
    #[schema(value_type = u64)]
    pub incarnation: Incarnation,
    /// `null` until this start of the node has reported.
    pub reported_at: Option<i64>,
    pub counters: BTreeMap<String, f64>,
}

/// Every node, by role and id. `seen` holds records that the roster had earlier.
pub(crate) fn nodes(snapshot: &Snapshot, reports: &[Report], seen: &Snapshot, now: i64) -> Vec<Node> {
    let last: BTreeMap<(Role, &str), &Report> =
        reports.iter().map(|report| ((report.role, report.node.as_str()), report)).collect();
    let live = snapshot.nodes().map(|record| {
        let report = last.get(&(record.role, &*record.id)).copied();
        live_node(record, report.filter(|report| report.incarnation == record.incarnation), now)
    });
    let ids: BTreeSet<(Role, &str)> = snapshot.nodes().map(|record| (record.role, &*record.id)).collect();
    let lost = last
        .iter()
        .filter(|(key, report)| !ids.contains(key) && report.reported_at >= now - LOST_FOR_MS)
        .map(|(_, report)| lost_node(report, seen.get(report.role, &report.node)));
    let mut nodes: Vec<Node> = live.chain(lost).collect();
    nodes.sort_by(|a, b| (a.role, &a.id).cmp(&(b.role, &b.id)));
    nodes
}

fn live_node(record: &NodeRecord, report: Option<&Report>, now: i64) -> Node {
    let state = match record.state {
        NodeState::Up => State::Up,
        NodeState::Draining => State::Draining,
    };
    Node {
        state,
        uptime_ms: Some((now - record.started_at).max(0)),
        reported_at: report.map(|report| report.reported_at),
        counters: report.map(|report| report.counters.clone()).unwrap_or_default(),
        ..node_of(record)
    }
}

fn lost_node(report: &Report, seen: Option<&Arc<NodeRecord>>) -> Node {
    let blank = Node {
        id: report.node.as_str().into(),
        role: report.role,
        state: State::Lost,
        host: None,
        port: None,
        public_url: None,
        admin_url: None,
        version: None,
        started_at: None,
        uptime_ms: None,
        weight: None,
        incarnation: report.incarnation,
        reported_at: None,
        counters: BTreeMap::new(),
    };
    let known = seen.filter(|record| record.incarnation == report.incarnation);
    let node = known.map_or(blank, |record| node_of(record));
    Node {
        uptime_ms: node.started_at.map(|started_at| (report.reported_at - started_at).max(0)),
        reported_at: Some(report.reported_at),
        counters: report.counters.clone(),
        ..node
    }
}

fn node_of(record: &NodeRecord) -> Node {
    Node {
        id: record.id.clone(),
        role: record.role,
        state: State::Lost,
        host: Some(record.host.clone()),
        port: Some(record.port),
        public_url: Some(record.public_url.clone()),
        admin_url: Some(record.admin_url.clone()),
        version: Some(record.version.clone()),
        started_at: Some(record.started_at),
        uptime_ms: None,
        weight: Some(record.weight),
        incarnation: record.incarnation,
        reported_at: None,
        counters: BTreeMap::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::history::tests::report;

    pub(crate) fn record(id: &str, incarnation: u64) -> NodeRecord {
        record_of(Role::Spear, id, incarnation)
    }

    pub(crate) fn record_of(role: Role, id: &str, incarnation: u64) -> NodeRecord {
        NodeRecord {
            id: id.into(),
            role,
            incarnation: Incarnation(incarnation),
            host: "127.0.0.1".into(),
            port: 1,
            public_url: "http://127.0.0.1:1".into(),
            admin_url: "http://127.0.0.1:2".into(),
            weight: 1,
            state: NodeState::Up,
            version: "0.1.0".into(),
            started_at: 500,
        }
    }

    #[test]
    fn a_live_node_shows_the_report_of_its_own_start_only() {
        let snapshot = Snapshot::new([record("a", 2), record("b", 2)]);
        let reports = [report("a", 2, 900, &[("x", 1.0)]), report("b", 1, 900, &[("x", 1.0)])];
        let nodes = nodes(&snapshot, &reports, &Snapshot::default(), 1_000);
        assert_eq!(nodes[0].state, State::Up);
        assert_eq!(nodes[0].uptime_ms, Some(500));
        assert_eq!(nodes[0].counters["x"], 1.0);
        assert_eq!((nodes[1].reported_at, nodes[1].counters.len()), (None, 0));
    }

    #[test]
    fn a_draining_node_says_so() {
        let draining = NodeRecord { state: NodeState::Draining, ..record("a", 2) };
        let nodes = nodes(&Snapshot::new([draining]), &[], &Snapshot::default(), 1_000);
        assert_eq!(nodes[0].state, State::Draining);
    }

    #[test]
    fn a_node_is_lost_for_an_hour_after_its_last_report() {
        let reports = [report("a", 1, 1_000, &[("x", 1.0)])];
        let seen = Snapshot::new([record("a", 1)]);
        let lost = nodes(&Snapshot::default(), &reports, &seen, 1_000 + LOST_FOR_MS);
        assert_eq!(lost[0].state, State::Lost);
        assert_eq!(lost[0].uptime_ms, Some(500));
        assert_eq!(lost[0].host.as_deref(), Some("127.0.0.1"));
        assert!(nodes(&Snapshot::default(), &reports, &seen, 1_001 + LOST_FOR_MS).is_empty());
        let unseen = nodes(&Snapshot::default(), &reports, &Snapshot::default(), 1_000);
        assert_eq!((unseen[0].state, &unseen[0].host), (State::Lost, &None));
    }
}
