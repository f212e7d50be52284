//! All live nodes at one moment.

use std::{collections::BTreeMap, sync::Arc};

use wire::{Incarnation, NodeRecord, NodeRef, NodeState, Role};

/// The live nodes, by role and id. Iterates in that order, so that everybody who has the same snapshot sees the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// A role without nodes has no entry.
    roles: BTreeMap<Role, BTreeMap<Arc<str>, Arc<NodeRecord>>>,
}

impl Snapshot {
    /// A snapshot of these nodes; a later one of the same role and id replaces an earlier one.
    pub fn new(records: impl IntoIterator<Item = NodeRecord>) -> Self {
        let mut snapshot = Self::default();
        records.into_iter().for_each(|record| snapshot.insert(record));
        snapshot
    }

    /// Adds a node, or replaces the one of its role and id.
    pub(crate) fn insert(&mut self, record: NodeRecord) {
        self.roles.entry(record.role).or_default().insert(record.id.clone(), Arc::new(record));
    }

    /// Takes a node out, if it is there.
    pub(crate) fn remove(&mut self, role: Role, id: &str) {
        if let Some(nodes) = self.roles.get_mut(&role) {
            nodes.remove(id);
            if nodes.is_empty() {
                self.roles.remove(&role);
            }
        }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.roles.values().flat_map(BTreeMap::values)
    }

    /// The nodes of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.roles.get(&role).into_iter().flat_map(BTreeMap::values)
    }

    /// The nodes of one role that take new work: up, with a weight above 0.
    pub fn available(&self, role: Role) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.of_role(role).filter(|record| record.state == NodeState::Up && record.weight > 0)
    }

    /// One node.
    pub fn get(&self, role: Role, id: &str) -> Option<&Arc<NodeRecord>> {
        self.roles.get(&role)?.get(id)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(role: Role, id: &str, incarnation: u64) -> NodeRecord {
        NodeRecord {
            id: id.into(),
            role,
            incarnation: Incarnation(incarnation),
            host: String::new(),
            port: 0,
            public_url: String::new(),
            admin_url: String::new(),
            weight: 1,
            state: NodeState::Up,
            version: String::new(),
            started_at: 0,
        }
    }

    #[test]
    fn the_order_of_registration_does_not_show() {
        let (a, b, c) =
            (record(Role::Spear, "a", 1), record(Role::Spear, "b", 1), record(Role::Idgen, "c", 1));
        let snapshot = Snapshot::new([b.clone(), a.clone(), c.clone()]);
        assert_eq!(snapshot, Snapshot::new([c, a, b]));
        assert_eq!(snapshot.nodes().map(|node| &*node.id).collect::<Vec<_>>(), ["c", "a", "b"]);
    }

    #[test]
    fn only_what_takes_new_work_is_available() {
        let draining = NodeRecord { state: NodeState::Draining, ..record(Role::Spear, "draining", 1) };
        let weightless = NodeRecord { weight: 0, ..record(Role::Spear, "weightless", 1) };
        let snapshot = Snapshot::new([draining, weightless, record(Role::Spear, "up", 1)]);
        assert_eq!(snapshot.available(Role::Spear).map(|node| &*node.id).collect::<Vec<_>>(), ["up"]);
        assert_eq!(snapshot.available(Role::Ticket).count(), 0);
    }

    #[test]
    fn another_start_of_a_node_is_not_held() {
        let snapshot = Snapshot::new([record(Role::Spear, "a", 1), record(Role::Spear, "a", 2)]);
        assert!(snapshot.holds(Role::Spear, &record(Role::Spear, "a", 2).node_ref()));
        assert!(!snapshot.holds(Role::Spear, &record(Role::Spear, "a", 1).node_ref()));
        assert!(!snapshot.holds(Role::Ticket, &record(Role::Spear, "a", 2).node_ref()));
    }
}
