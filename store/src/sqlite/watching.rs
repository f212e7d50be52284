//! Which nodes watch whose presence.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use wire::{Incarnation, NodeRef, User};

use super::SqliteStore;
use crate::{StoreError, WatchChange};

#[async_trait]
impl crate::Watching for SqliteStore {
    async fn set_watched(&self, node: &NodeRef, changes: Vec<WatchChange>) -> Result<(), StoreError> {
        self.live.write().watching.change(node, changes);
        Ok(())
    }
}

/// Bounded by the users that each node may watch.
#[derive(Default)]
pub(super) struct Watching {
    users: HashMap<User, BTreeSet<NodeRef>>,
    newest: HashMap<Arc<str>, Incarnation>,
}

impl Watching {
    /// Forgets what earlier starts of this node watched.
    pub(super) fn enter(&mut self, node: &NodeRef) {
        let newest = self.newest.entry(node.id.clone()).or_insert(node.incarnation);
        *newest = node.incarnation.max(*newest);
        let newest = *newest;
        self.users.retain(|_, nodes| {
            nodes.retain(|held| held.id != node.id || held.incarnation >= newest);
            !nodes.is_empty()
        });
    }

    fn change(&mut self, node: &NodeRef, changes: Vec<WatchChange>) {
        if self.newest.get(&node.id).is_some_and(|newest| *newest > node.incarnation) {
            return;
        }
        for WatchChange { user, watched } in changes {
            if watched {
                self.users.entry(user).or_default().insert(node.clone());
            } else if let Some(nodes) = self.users.get_mut(&user) {
                nodes.remove(node);
                if nodes.is_empty() {
                    self.users.remove(&user);
                }
            }
        }
    }

    /// The nodes that watch a user.
    pub(super) fn nodes(&self, user: &User) -> Vec<NodeRef> {
        self.users.get(user).into_iter().flatten().cloned().collect()
    }
}
