//! Which spears hold too much: consistent hashing with bounded loads.

use std::collections::HashMap;

use wire::{NodeRecord, NodeRef};

use crate::settings::Balance;

/// A greater weight counts as this.
pub(crate) const WEIGHT_MAX: u32 = 100;

/// From which number of connections on a spear is full. Whole numbers only, so that every ticket node finds the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Hundredths of the fair share; 0: no bound.
    percent: u32,
    /// A spear that holds fewer is never full.
    least: u64,
}

impl Bound {
    pub(crate) fn new(settings: &Balance) -> Self {
        Self::of(settings.bound_percent, settings.min_connections)
    }

    pub(crate) const fn of(percent: u32, least: u64) -> Self {
        Self { percent, least }
    }

    /// For each of `nodes`, whether it is full: holds as many as `percent` of its share, by weight, of all connections of
    /// these nodes and one more. One that is not in `connections` holds none.
    ///
    /// At least one of them is not full, because the bound is above the share: they cannot all hold more than all have.
    pub(crate) fn full<'a>(
        &self,
        nodes: impl Iterator<Item = &'a NodeRecord> + Clone,
        connections: &HashMap<NodeRef, u64>,
    ) -> Vec<bool> {
        if self.percent == 0 {
            return vec![false; nodes.count()];
        }
        let held = |node: &NodeRecord| connections.get(&node.node_ref()).copied().unwrap_or_default();
        let weight = |node: &NodeRecord| u128::from(node.weight.min(WEIGHT_MAX));
        let all = nodes.clone().map(|node| u128::from(held(node))).sum::<u128>() + 1;
        let weights = nodes.clone().map(weight).sum::<u128>().max(1);
        let cap = |node| (u128::from(self.percent) * weight(node) * all).div_ceil(100 * weights);
        nodes.map(|node| u128::from(held(node)) >= cap(node).max(u128::from(self.least))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn full(percent: u32, least: u64, spears: &[(u32, u64)]) -> Vec<bool> {
        let nodes: Vec<NodeRecord> = (0..)
            .zip(spears)
            .map(|(number, (weight, _)): (u32, _)| NodeRecord {
                weight: *weight,
                ..testing::spear(&format!("spear-{number}"))
            })
            .collect();
        let connections = nodes.iter().zip(spears).map(|(node, (_, held))| (node.node_ref(), *held));
        Bound::of(percent, least).full(nodes.iter(), &connections.collect())
    }

    #[test]
    fn a_spear_is_full_at_its_bound() {
        // 1.25 × 301 ÷ 3 = 125.4: full from 126 on.
        assert_eq!(full(125, 0, &[(1, 126), (1, 90), (1, 84)]), [true, false, false]);
        assert_eq!(full(125, 0, &[(1, 125), (1, 90), (1, 85)]), [false, false, false]);
        assert_eq!(full(125, 127, &[(1, 126), (1, 90), (1, 84)]), [false; 3], "too few to speak of shares");
        assert_eq!(full(0, 0, &[(1, 300), (1, 0)]), [false; 2], "switched off");
        assert_eq!(full(125, 0, &[(1, 1_000)]), [false], "there is no other");
        assert_eq!(full(125, 0, &[]), [false; 0]);
    }

    #[test]
    fn a_heavier_spear_holds_more() {
        // Of 401 the shares are 100.25 and 300.75, and the bounds 126 and 376.
        assert_eq!(full(125, 0, &[(1, 126), (3, 274)]), [true, false]);
        assert_eq!(full(125, 0, &[(1, 24), (3, 376)]), [false, true]);
        assert_eq!(full(125, 0, &[(1, 25), (3, 375)]), [false, false]);
    }

    proptest! {
        #[test]
        fn never_all_are_full(
            percent in 101_u32..=1_000, spears in prop::collection::vec((1_u32..200, 0_u64..1 << 40), 1..200),
        ) {
            prop_assert!(full(percent, 0, &spears).contains(&false));
        }
    }
}
