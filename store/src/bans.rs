//! Users who may not connect.

use async_trait::async_trait;
use wire::User;

use crate::StoreError;

/// The ban list.
#[async_trait]
pub trait Bans: Send + Sync + 'static {
    /// Bans a user, or takes the ban back; answers whether that changed anything.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_banned(&self, user: &User, banned: bool) -> Result<bool, StoreError>;

    /// Whether a user is banned. Cheap: it is asked for every ticket.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn is_banned(&self, user: &User) -> Result<bool, StoreError>;
}
