//! Sizes that are checked before anything is stored.

use serde::{Deserialize, Serialize};

/// From which message on one who joins a group may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinHistory {
    /// From the first one after joining.
    Joining,
    /// From the beginning, while they are a member, and what they had until they left; `sync` shows it, nothing is sent again.
    All,
}

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
    /// The most members of a group. Checked before members are added: who adds at the same moment may add more.
    pub group_members: u64,
    /// The most groups of a user, checked likewise.
    pub user_groups: u64,
    /// What one who joins a group may read of it.
    pub join_history: JoinHistory,
    /// The most sends that wait on one node for an id and the store; more are refused as `unavailable`.
    pub pending_sends: usize,
    /// How long a send may wait before it is refused as `unavailable`, in milliseconds.
    pub send_timeout_ms: u64,
    /// In groups with more members than this the others are not told what a member has read.
    pub receipt_members: u64,
    /// For how long after sending a message may be recalled, in milliseconds.
    pub recall_window_ms: u64,
}

/// A bound that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {low} to {high}, got {got}")]
pub struct LimitError {
    /// Which one.
    pub key: &'static str,
    /// The least it may be.
    pub low: u64,
    /// The most it may be.
    pub high: u64,
    /// What was found.
    pub got: u64,
}

impl Limits {
    /// Checks that every bound can be used. A store answers at most 1,000 entries a page.
    ///
    /// # Errors
    /// The first bound that is out of its range.
    pub fn check(&self) -> Result<(), LimitError> {
        const PAGE: u64 = 1000;
        const YEAR_MS: u64 = 366 * 24 * 60 * 60 * 1000;
        let ranges = [
            ("body_bytes", self.body_bytes as u64, 1, 16 << 20),
            ("type_bytes", self.type_bytes as u64, 1, 1024),
            ("cid_bytes", self.cid_bytes as u64, 1, 1024),
            ("page_messages", self.page_messages as u64, 1, PAGE),
            ("page_bytes", self.page_bytes as u64, 1, 64 << 20),
            ("page_conversations", self.page_conversations as u64, 1, PAGE),
            ("page_members", self.page_members as u64, 1, PAGE),
            ("group_members", self.group_members, 1, 10_000_000),
            ("user_groups", self.user_groups, 1, 100_000),
            ("pending_sends", self.pending_sends as u64, 1, 10_000_000),
            ("send_timeout_ms", self.send_timeout_ms, 1, 600_000),
            ("receipt_members", self.receipt_members, 0, 500),
            ("recall_window_ms", self.recall_window_ms, 0, YEAR_MS),
        ];
        match ranges.into_iter().find(|&(_, got, low, high)| got < low || got > high) {
            Some((key, got, low, high)) => Err(LimitError { key, low, high, got }),
            None => Ok(()),
        }
    }
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
            group_members: 100_000,
            user_groups: 2_000,
            join_history: JoinHistory::Joining,
            pending_sends: 65_536,
            send_timeout_ms: 5_000,
            receipt_members: 200,
            recall_window_ms: 120_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_out_of_its_range_is_named() {
        assert_eq!(Limits::default().check(), Ok(()));
        let refused = Limits { page_members: 0, ..Limits::default() }.check().expect_err("nothing fits");
        assert_eq!(refused.to_string(), "page_members: expected 1 to 1000, got 0");
    }
}
