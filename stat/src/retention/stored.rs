//! What is stored, as the last pass found it.

use std::sync::Arc;

use parking_lot::Mutex;

/// What the node that trims knows of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Findings {
    /// Bytes in use, all servers together.
    pub(crate) bytes: u64,
    /// How full the fullest server is: 1 where its bound is reached. `None` where there is no bound.
    pub(crate) filled: Option<f64>,
    /// Messages; `None` before the first pass.
    pub(crate) messages: Option<u64>,
    /// When the oldest message was sent, milliseconds since the Unix epoch; `None` where there is none, and before the first pass.
    pub(crate) oldest_at: Option<i64>,
    /// Messages trimmed since this node's start.
    pub(crate) trimmed: u64,
}

/// The findings, while this node is the one that trims. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Stored {
    findings: Arc<Mutex<Option<Findings>>>,
}

impl Stored {
    /// `None` while another node trims.
    pub(crate) fn findings(&self) -> Option<Findings> {
        *self.findings.lock()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Findings)) {
        change(self.findings.lock().get_or_insert_default());
    }

    pub(super) fn forget(&self) {
        *self.findings.lock() = None;
    }
}
