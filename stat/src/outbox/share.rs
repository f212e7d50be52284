//! Partitions are grouped into shares, and each has a node that should hold it.

use std::sync::Arc;

use roster::Snapshot;
use wire::Role;
use xxhash_rust::xxh64::xxh64;

/// How many shares there are, where there are as many partitions: so many requests to a back end may be under way at once.
/// Elections are named after shares, so all nodes must have the same number.
const SHARES: u16 = 16;

/// A part of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// From 0.
    pub(crate) number: u16,
    /// Those partitions whose outboxes are its.
    pub(crate) partitions: Vec<u16>,
}

impl Share {
    /// All of them.
    pub(crate) fn all(partitions: u16) -> Vec<Self> {
        let shares = SHARES.min(partitions);
        let of = |number| (0..partitions).filter(|partition| partition % shares == number).collect();
        (0..shares).map(|number| Self { number, partitions: of(number) }).collect()
    }

    /// Which of the stat nodes that take work should hold it: the one with the highest hash of both. A node that comes or goes
    /// moves only the shares that it has to have, or had.
    pub(crate) fn preferred(&self, snapshot: &Snapshot) -> Option<Arc<str>> {
        let score = |id: &str| xxh64(format!("{}/{id}", self.number).as_bytes(), 0);
        snapshot.available(Role::Stat).map(|node| node.id.clone()).max_by_key(|id| (score(id), id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::nodes::tests::record_of;

    fn holders(ids: &[&str]) -> Vec<Arc<str>> {
        let snapshot = Snapshot::new(ids.iter().map(|id| record_of(Role::Stat, id, 1)));
        Share::all(1_024).iter().map(|share| share.preferred(&snapshot).expect("a node")).collect()
    }

    #[test]
    fn every_partition_is_in_one_share() {
        for partitions in [1, 5, 16, 1_024] {
            let shares = Share::all(partitions);
            let mut all: Vec<u16> = shares.iter().flat_map(|share| share.partitions.clone()).collect();
            all.sort_unstable();
            assert_eq!(all, (0..partitions).collect::<Vec<_>>());
            assert_eq!(shares.len(), usize::from(partitions.min(SHARES)));
        }
    }

    #[test]
    fn a_node_that_goes_moves_only_its_own_shares() {
        let (three, two) = (holders(&["a", "b", "c"]), holders(&["a", "c"]));
        let mut counts = BTreeMap::<_, usize>::new();
        for (before, after) in three.iter().zip(&two) {
            *counts.entry(before.clone()).or_default() += 1;
            assert!(before == after || &**before == "b");
        }
        assert_eq!(counts.len(), 3, "everybody has some: {counts:?}");
    }

    #[test]
    fn without_a_node_nobody_should() {
        assert_eq!(Share::all(1)[0].preferred(&Snapshot::default()), None);
    }
}
