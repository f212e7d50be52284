//! What every session of a spear needs.

use std::{sync::Arc, time::Duration};

use conversation::Conversations;
use token::TokenChecker;

use crate::{admission::Admission, cursors::CursorWriter, hub::Hub};

/// Shared by all sessions of one spear.
pub(crate) struct Context {
    pub(crate) hub: Arc<Hub>,
    pub(crate) conversations: Conversations,
    pub(crate) cursors: Arc<CursorWriter>,
    pub(crate) admission: Admission,
    /// For `refresh`.
    pub(crate) tokens: TokenChecker,
    pub(crate) max_pending_events: usize,
    pub(crate) register_timeout: Duration,
}
