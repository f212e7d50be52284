//! Events of ours that the client is to acknowledge.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::Unanswered;

/// The most that one client is asked at the same time.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Asked {
    next: u64,
    open: BTreeMap<u64, oneshot::Sender<Box<RawValue>>>,
}

impl Asked {
    pub(super) fn expect_answer(&mut self) -> Result<(u64, oneshot::Receiver<Box<RawValue>>), Unanswered> {
        if self.open.len() >= MOST {
            return Err(Unanswered);
        }
        let (sender, answer) = oneshot::channel();
        let ack_id = self.next;
        self.next += 1;
        self.open.insert(ack_id, sender);
        Ok((ack_id, answer))
    }

    /// Passes the client's answer on; one that nobody asked for is dropped.
    pub(super) fn answer(&mut self, ack_id: u64, args: &RawValue) {
        if let Some(sender) = self.open.remove(&ack_id) {
            drop(sender.send(args.to_owned()));
        }
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&mut self, ack_id: u64) {
        self.open.remove(&ack_id);
    }
}
