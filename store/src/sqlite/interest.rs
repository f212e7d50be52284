//! Which nodes want hints of which group.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use wire::{Group, Incarnation, NodeRef};

use crate::InterestChange;

/// Groups without any interested node whose version is remembered one by one; beyond, they share one.
const EMPTY_GROUPS: usize = 65_536;

#[derive(Default)]
struct Interested {
    version: u64,
    nodes: BTreeSet<NodeRef>,
}

/// Bounded by the groups that the nodes' local members are in, and [`EMPTY_GROUPS`].
pub(super) struct Interest {
    given: u64,
    groups: HashMap<Group, Interested>,
    empty: usize,
    /// The version of every group that is not in `groups`: not less than any that was forgotten.
    others: u64,
    newest: HashMap<Arc<str>, Incarnation>,
}

impl Interest {
    pub(super) fn new(version: u64) -> Self {
        Self { given: version, groups: HashMap::new(), empty: 0, others: version, newest: HashMap::new() }
    }

    /// Forgets the interest of earlier starts of this node.
    pub(super) fn enter(&mut self, node: &NodeRef) {
        let newest = self.newest.entry(node.id.clone()).or_insert(node.incarnation);
        *newest = node.incarnation.max(*newest);
        let newest = *newest;
        for interested in self.groups.values_mut() {
            let before = interested.nodes.len();
            interested.nodes.retain(|held| held.id != node.id || held.incarnation >= newest);
            if interested.nodes.len() != before {
                self.given += 1;
                interested.version = self.given;
                self.empty += usize::from(interested.nodes.is_empty());
            }
        }
        self.forget_empty();
    }

    /// A start of a node that has a later one is not listened to.
    pub(super) fn change(&mut self, node: &NodeRef, changes: Vec<InterestChange>) {
        if self.newest.get(&node.id).is_some_and(|newest| *newest > node.incarnation) {
            return;
        }
        for change in changes {
            if !change.interested && !self.groups.contains_key(&change.group) {
                continue;
            }
            let entry = self.groups.entry(change.group).or_default();
            let (was_new, was_empty) = (entry.version == 0, entry.nodes.is_empty());
            let changed =
                if change.interested { entry.nodes.insert(node.clone()) } else { entry.nodes.remove(node) };
            if !changed {
                continue;
            }
            self.given += 1;
            entry.version = self.given;
            match (was_empty && !was_new, entry.nodes.is_empty()) {
                (true, false) => self.empty -= 1,
                (false, true) => self.empty += 1,
                _ => {}
            }
        }
        self.forget_empty();
    }

    /// At the bound: groups that nobody is interested in share one version from now on, greater than theirs.
    fn forget_empty(&mut self) {
        if self.empty <= EMPTY_GROUPS {
            return;
        }
        self.groups.retain(|_, interested| !interested.nodes.is_empty());
        self.empty = 0;
        self.others = self.given;
    }

    pub(super) fn routing(&self, group: &Group) -> (u64, Vec<NodeRef>) {
        match self.groups.get(group) {
            Some(interested) => (interested.version, interested.nodes.iter().cloned().collect()),
            None => (self.others, Vec::new()),
        }
    }

    pub(super) fn version_of(&self, group: &Group) -> u64 {
        self.groups.get(group).map_or(self.others, |interested| interested.version)
    }

    pub(super) fn version(&self) -> u64 {
        self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_forgotten_has_no_older_version() {
        let node = NodeRef { id: "spear-1".into(), incarnation: Incarnation(1) };
        let group = |n: usize| Group::new(&format!("g{n}")).expect("a name");
        let mut interest = Interest::new(0);
        let mut last = 0;
        for n in 0..=EMPTY_GROUPS {
            for interested in [true, false] {
                interest.change(&node, vec![InterestChange { group: group(n), interested }]);
            }
            assert!(interest.groups.len() <= EMPTY_GROUPS, "the bound holds");
            if n == 0 {
                last = interest.version_of(&group(0));
            }
        }
        assert!(!interest.groups.contains_key(&group(0)), "the first is forgotten");
        assert!(interest.version_of(&group(0)) >= last);
        let forgotten = interest.version_of(&group(0));
        interest.change(&node, vec![InterestChange { group: group(0), interested: true }]);
        assert!(interest.version_of(&group(0)) > forgotten);
    }
}
