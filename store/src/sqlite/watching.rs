//! Which nodes watch whose presence, and whose messages.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use wire::{Incarnation, NodeRef, User};

use super::SqliteStore;
use crate::{StoreError, WatchChange, Watched};

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
    presence: HashMap<User, BTreeSet<NodeRef>>,
    messages: HashMap<User, BTreeSet<NodeRef>>,
    newest: HashMap<Arc<str>, Incarnation>,
}

impl Watching {
    /// Forgets what earlier starts of this node watched.
    pub(super) fn enter(&mut self, node: &NodeRef) {
        let newest = self.newest.entry(node.id.clone()).or_insert(node.incarnation);
        *newest = node.incarnation.max(*newest);
        let newest = *newest;
        for users in [&mut self.presence, &mut self.messages] {
            users.retain(|_, nodes| {
                nodes.retain(|held| held.id != node.id || held.incarnation >= newest);
                !nodes.is_empty()
            });
        }
    }

    fn change(&mut self, node: &NodeRef, changes: Vec<WatchChange>) {
        if self.newest.get(&node.id).is_some_and(|newest| *newest > node.incarnation) {
            return;
        }
        for WatchChange { user, what, watched } in changes {
            let users = match what {
                Watched::Presence => &mut self.presence,
                Watched::Messages => &mut self.messages,
            };
            if watched {
                users.entry(user).or_default().insert(node.clone());
            } else if let Some(nodes) = users.get_mut(&user) {
                nodes.remove(node);
                if nodes.is_empty() {
                    users.remove(&user);
                }
            }
        }
    }

    /// The nodes that watch a user's presence.
    pub(super) fn nodes(&self, user: &User) -> Vec<NodeRef> {
        self.presence.get(user).into_iter().flatten().cloned().collect()
    }

    /// Adds the nodes that watch the messages of users, each once.
    pub(super) fn add_nodes<'a>(&self, users: impl Iterator<Item = &'a User>, nodes: &mut Vec<NodeRef>) {
        // On the road of every message, and hardly ever anything else.
        if self.messages.is_empty() {
            return;
        }
        for node in users.filter_map(|user| self.messages.get(user)).flatten() {
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
    }
}
