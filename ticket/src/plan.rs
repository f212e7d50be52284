//! What a request looks into: the ring, and which of its spears are full.

use std::{collections::HashMap, sync::Arc};

use wire::{NodeRecord, NodeRef};

use crate::{bound::Bound, ring::Ring};

/// The ring of one snapshot of the roster with the loads of one moment. It never changes; who has the same two and the same
/// settings gives the same answers, save while one of them has not made its next ring yet.
#[derive(Debug)]
pub(crate) struct Plan {
    ring: Arc<Ring>,
    /// In the order of the ring's nodes.
    full: Vec<bool>,
}

impl Plan {
    /// Without loads: the plain ring.
    pub(crate) fn plain(ring: Arc<Ring>) -> Self {
        let full = vec![false; ring.nodes().len()];
        Self { ring, full }
    }

    /// With what the spears hold.
    pub(crate) fn loaded(ring: Arc<Ring>, bound: &Bound, connections: &HashMap<NodeRef, u64>) -> Self {
        let nodes = ring.nodes().iter().zip(ring.gone()).filter(|(_, gone)| !**gone);
        let mut full = bound.full(nodes.map(|(node, _)| node.as_ref()), connections).into_iter();
        let full = ring.gone().iter().map(|gone| !*gone && full.next().unwrap_or_default()).collect();
        Self { ring, full }
    }

    /// Its ring.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// How many spears are full.
    pub(crate) fn full(&self) -> usize {
        self.full.iter().filter(|full| **full).count()
    }

    /// Up to `count` different spears for a user, none of those in `avoid`: in the order of the ring, those that are full
    /// behind all others. A full one is better than none.
    pub(crate) fn pick(&self, user: &str, avoid: &[String], count: usize) -> Vec<&Arc<NodeRecord>> {
        let nodes = self.ring.nodes();
        let may = |index: usize| nodes[index].weight > 0 && !avoid.iter().any(|id| **id == *nodes[index].id);
        let mut picked = Vec::with_capacity(count.min(nodes.len()));
        for full in [false, true] {
            self.ring.pick(user, count, &mut picked, |index| self.full[index] == full && may(index));
        }
        picked
    }
}
