//! Which nodes watch whose presence.

use async_trait::async_trait;
use wire::{NodeRef, User};

use crate::StoreError;

/// A node begins or ends to watch a user's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchChange {
    /// Whose.
    pub user: User,
    /// Whether it watches.
    pub watched: bool,
}

/// Watching nodes. Like presence this need not survive a crash of the store's machine, and nodes say it again.
#[async_trait]
pub trait Watching: Send + Sync + 'static {
    /// Registers whose presence a node watches. From the answer on, [`crate::Devices::connect`] and
    /// [`crate::Devices::disconnect`] name the node for these users, or it reads in their presence what they did. A start of a
    /// node that has entered again is not listened to. A store may forget what was not said again for half a day.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_watched(&self, node: &NodeRef, changes: Vec<WatchChange>) -> Result<(), StoreError>;
}
