//! What is kept about a number.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::{Incarnation, Role};

use super::Holder;
use crate::layout;

/// The version of [`Record`]; a greater one was written by a newer build.
const RECORD_VERSION: u32 = 1;

/// The content of `/idgen/workers/<n>` (CONTRACT §7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    role: Role,
    holder: Arc<str>,
    incarnation: Incarnation,
    /// No id at or above this time has been cut under this number yet; milliseconds since the Unix epoch.
    until_at: i64,
}

impl Record {
    pub(super) fn new(holder: &Holder, until_ms: u64) -> Self {
        Self {
            version: RECORD_VERSION,
            role: holder.role,
            holder: holder.node.id.clone(),
            incarnation: holder.node.incarnation,
            until_at: layout::to_unix(until_ms),
        }
    }

    /// `None` for what this build cannot read: it is left alone.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok().filter(|record: &Self| record.version <= RECORD_VERSION)
    }

    /// As it is written. A record of plain fields can always be.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// In milliseconds since the ids' epoch.
    pub(super) fn until_ms(&self) -> u64 {
        layout::since_epoch(self.until_at)
    }

    /// Whether this very start wrote it.
    pub(super) fn is_of(&self, holder: &Holder) -> bool {
        self.is_of_node(holder) && self.incarnation == holder.node.incarnation
    }

    /// Whether an earlier start of the same node wrote it.
    pub(super) fn is_of_predecessor(&self, holder: &Holder) -> bool {
        self.is_of_node(holder) && self.incarnation < holder.node.incarnation
    }

    fn is_of_node(&self, holder: &Holder) -> bool {
        self.role == holder.role && self.holder == holder.node.id
    }
}

/// Where the record of `number` is.
pub(super) fn path(number: u16) -> String {
    format!("/idgen/workers/{number}")
}
