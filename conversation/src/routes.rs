//! Which nodes hold members of a group.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use store::{Store, StoreError};
use wire::{Group, NodeRef};

/// How many groups are remembered; the least used ones are forgotten and read again.
const CACHED_GROUPS: usize = 100_000;

/// How old a routing may be where no append says whether it is the newest one.
const RECENT: Duration = Duration::from_secs(1);

struct Route {
    version: u64,
    read_at: Instant,
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
        let fresh = |(group, version): &(Group, u64)| {
            self.cached.get(group).filter(|route| route.version >= *version).map(|route| route.nodes.clone())
        };
        let found = wanted.iter().map(fresh).collect();
        self.complete(wanted.iter().map(|(group, _)| group), found).await
    }

    /// The nodes of each group as they were a second ago or later; one read for all that are missing.
    pub(crate) async fn recent(&self, groups: &[Group]) -> Result<Vec<Arc<[NodeRef]>>, StoreError> {
        let recent = |group: &Group| {
            let route = self.cached.get(group).filter(|route| route.read_at.elapsed() < RECENT);
            route.map(|route| route.nodes.clone())
        };
        self.complete(groups.iter(), groups.iter().map(recent).collect()).await
    }

    /// Reads those that are not `found` yet.
    async fn complete<'a>(
        &self,
        groups: impl Iterator<Item = &'a Group>,
        mut found: Vec<Option<Arc<[NodeRef]>>>,
    ) -> Result<Vec<Arc<[NodeRef]>>, StoreError> {
        let missing: Vec<(usize, Group)> =
            groups.cloned().enumerate().filter(|(at, _)| found[*at].is_none()).collect();
        if !missing.is_empty() {
            let read_at = Instant::now();
            let read = self.store.routing(missing.iter().map(|(_, group)| group.clone()).collect()).await?;
            for ((at, group), (version, nodes)) in missing.into_iter().zip(read) {
                let nodes: Arc<[NodeRef]> = nodes.into();
                let route = Route { version, read_at, nodes: nodes.clone() };
                self.cached.insert(group, Arc::new(route));
                found[at] = Some(nodes);
            }
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }
}
