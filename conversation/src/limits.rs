//! Sizes that are checked before anything is stored.

use serde::{Deserialize, Serialize};

/// Bounds on what clients and back ends send and ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest `body`, in bytes of its JSON.
    pub body_bytes: usize,
    /// The longest `type`, in bytes.
    pub type_bytes: usize,
    /// The longest `cid`, in bytes.
    pub cid_bytes: usize,
    /// The most messages that one page of history holds.
    pub page_messages: usize,
    /// The most bytes of bodies that one page of history holds; one message is always given.
    pub page_bytes: usize,
    /// The most conversations that one page of the list holds.
    pub page_conversations: usize,
    /// The most members that one call adds or removes, or one page lists.
    pub page_members: usize,
    /// The most sends that wait on one node for an id and the store; more are refused as `unavailable`.
    pub pending_sends: usize,
    /// How long a send may wait before it is refused as `unavailable`, in milliseconds.
    pub send_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 10,
            type_bytes: 64,
            cid_bytes: 64,
            page_messages: 200,
            page_bytes: 1 << 20,
            page_conversations: 100,
            page_members: 1000,
            pending_sends: 65_536,
            send_timeout_ms: 5_000,
        }
    }
}
