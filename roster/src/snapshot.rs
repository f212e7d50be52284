//! All live nodes at one moment.

use std::{collections::BTreeMap, sync::Arc};

use wire::{Incarnation, NodeRecord, NodeRef, NodeState, Role};

/// The live nodes, by role and id. Iterates in that order, so that everybody who has the same snapshot sees the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    nodes: BTreeMap<(Role, Arc<str>), Arc<NodeRecord>>,
}

impl Snapshot {
    /// A snapshot of these nodes; a later one of the same role and id replaces an earlier one.
    pub fn new(records: impl IntoIterator<Item = NodeRecord>) -> Self {
        let nodes =
            records.into_iter().map(|record| ((record.role, record.id.clone()), Arc::new(record))).collect();
        Self { nodes }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.nodes.values()
    }

    /// The nodes of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.nodes.values().filter(move |record| record.role == role)
    }

    /// The nodes of one role that take new work: up, with a weight above 0.
    pub fn available(&self, role: Role) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.of_role(role).filter(|record| record.state == NodeState::Up && record.weight > 0)
    }

    /// One node.
    pub fn get(&self, role: Role, id: &str) -> Option<&Arc<NodeRecord>> {
        self.nodes.get(&(role, Arc::from(id)))
    }

    /// Whether this very start of a node of this role is alive.
    pub fn holds(&self, role: Role, node: &NodeRef) -> bool {
        self.incarnation(role, &node.id) == Some(node.incarnation)
    }

    /// The live incarnation of a node.
    pub fn incarnation(&self, role: Role, id: &str) -> Option<Incarnation> {
        self.get(role, id).map(|record| record.incarnation)
    }
}
