//! Which nodes watch whose presence, and whose messages.

use async_trait::async_trait;
use wire::{NodeRef, User};

use crate::StoreError;

/// What of a user is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watched {
    /// Who connects and disconnects them is answered the watching nodes.
    Presence,
    /// What is appended to their direct conversations is routed to the watching nodes, too.
    Messages,
}

/// A node begins or ends to watch a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchChange {
    /// Whom.
    pub user: User,
    /// What of them.
    pub what: Watched,
    /// Whether it watches.
    pub watched: bool,
}

/// Watching nodes. Like presence this need not survive a crash of the store's machine, and nodes say it again.
#[async_trait]
pub trait Watching: Send + Sync + 'static {
    /// Registers whom a node watches. From the answer on, [`crate::Devices::connect`] and [`crate::Devices::disconnect`] name
    /// the node for these users, or it reads in their presence what they did; and [`crate::Messages::append`] routes to it. A
    /// start of a node that has entered again is not listened to. A store may forget what was not said again for half a day.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_watched(&self, node: &NodeRef, changes: Vec<WatchChange>) -> Result<(), StoreError>;
}
