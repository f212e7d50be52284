//! What is kept of a user beside messages: told, and forgotten.

use async_trait::async_trait;
use wire::{Conversation, Device, User};

use crate::StoreError;

/// A device that is remembered, connected or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDevice {
    /// Which.
    pub device: Device,
    /// As in [`crate::Connected`]: 0 for a user's first device.
    pub born_at: i64,
    /// When a connection of it last began or ended, milliseconds since the Unix epoch by the store's clock; `None` where that
    /// was not noted yet.
    pub last_seen_at: Option<i64>,
}

/// Forgets a user piece by piece. Each call may be made again; messages are not its concern: see [`crate::Changes::recall`].
#[async_trait]
pub trait Erasure: Send + Sync + 'static {
    /// The user's devices, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn known_devices(&self, user: &User) -> Result<Vec<KnownDevice>, StoreError>;

    /// Forgets that a conversation is one of the user's: their read mark, their readings in the change log, the times at which they
    /// were a member, and last its entry in their inbox, which is bumped. Their messages stay, and so does all that is the
    /// others'; a new message of two users puts it into the inbox again. Answers `false`, and forgets nothing, while the user is a
    /// member of the group.
    ///
    /// # Errors
    /// [`StoreError`]; forgetting again is safe.
    async fn forget_place(&self, user: &User, conversation: &Conversation) -> Result<bool, StoreError>;

    /// Forgets the user's devices, with what each had confirmed and whether it is connected, and when the user was last seen. The
    /// next device to connect is the user's first one.
    ///
    /// # Errors
    /// [`StoreError`]; forgetting again is safe.
    async fn forget_devices(&self, user: &User) -> Result<(), StoreError>;
}
