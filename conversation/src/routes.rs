//! Which nodes hold members of a group.

use std::sync::Arc;

use quick_cache::sync::Cache;
use store::{Store, StoreError};
use wire::{Group, NodeRef};

/// How many groups are remembered; the least used ones are forgotten and read again.
const CACHED_GROUPS: usize = 100_000;

struct Route {
    version: u64,
    nodes: Arc<[NodeRef]>,
}

/// The routing of groups, read again whenever an append answers a newer version than the cached one.
pub(crate) struct Routes {
    store: Arc<dyn Store>,
    cached: Cache<Group, Arc<Route>>,
}

impl Routes {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cached: Cache::new(CACHED_GROUPS) }
    }

    /// The nodes of each group, at least as new as the version beside it; one read for all that are missing.
    pub(crate) async fn of(&self, wanted: Vec<(Group, u64)>) -> Result<Vec<Arc<[NodeRef]>>, StoreError> {
        let fresh = |group: &Group, version: u64| {
            self.cached.get(group).filter(|route| route.version >= version).map(|route| route.nodes.clone())
        };
        let mut found: Vec<_> = wanted.iter().map(|(group, version)| fresh(group, *version)).collect();
        let stale: Vec<usize> = (0..found.len()).filter(|&at| found[at].is_none()).collect();
        if !stale.is_empty() {
            let groups = stale.iter().map(|&at| wanted[at].0.clone()).collect();
            let read = self.store.routing(groups).await?;
            for (&at, (version, nodes)) in stale.iter().zip(read) {
                let nodes: Arc<[NodeRef]> = nodes.into();
                self.cached.insert(wanted[at].0.clone(), Arc::new(Route { version, nodes: nodes.clone() }));
                found[at] = Some(nodes);
            }
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }
}
