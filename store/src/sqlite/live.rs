//! What need not survive the process: who is connected where, which node wants hints of which group or room,
//! which one watches whom, and versions.

use std::collections::HashSet;

use wire::{NodeRef, User};

use super::{interest::Interest, presence::Presence, rooms::Rooms, versions::Versions, watching::Watching};
use crate::outbox::Wanted;

/// Changed after the commit of what it goes with and before the answer, so that a caller that was answered finds it, and
/// nobody finds here what is not durable.
pub(super) struct Live {
    pub(super) presence: Presence,
    pub(super) interest: Interest,
    pub(super) rooms: Rooms,
    pub(super) watching: Watching,
    pub(super) inboxes: Versions,
    /// A copy of what is durable: asked for every ticket.
    pub(super) banned: HashSet<User>,
    /// What consumers want to be written down: a copy too.
    pub(super) wanted: Wanted,
}

impl Live {
    /// `version` is greater than or equal to every version that an earlier process gave out.
    pub(super) fn new(version: u64) -> Self {
        Self {
            presence: Presence::default(),
            interest: Interest::new(version),
            rooms: Rooms::default(),
            watching: Watching::default(),
            inboxes: Versions::new(version),
            banned: HashSet::new(),
            wanted: Wanted::default(),
        }
    }

    /// A new start of a node.
    pub(super) fn enter(&mut self, node: &NodeRef) {
        self.presence.enter(node);
        self.interest.enter(node);
        self.rooms.enter(node);
        self.watching.enter(node);
    }

    /// The greatest version given out.
    pub(super) fn version(&self) -> u64 {
        self.interest.version().max(self.inboxes.version())
    }

    /// Bumps the inboxes of users, and answers the nodes that hold their devices or watch their messages.
    pub(super) fn bump<'a>(&mut self, users: impl Iterator<Item = &'a User> + Clone) -> Vec<NodeRef> {
        users.clone().for_each(|user| self.inboxes.bump(user));
        let mut nodes = self.presence.nodes(users.clone());
        self.watching.add_nodes(users, &mut nodes);
        nodes
    }
}
