//! Gives each hint its number per target.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use wire::{Hint, NodeRef, Payload};

use crate::{Publication, Relay, RelayError};

/// How many targets have a count at once; each start of a node is one. Above it the one not used for longest is
/// forgotten.
const TARGETS_MAX: usize = 4_096;

/// A target that nothing was published for this long is forgotten when a new one comes.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// Publishes hints of one node, numbered per target. Shared by everything in the node that publishes.
pub struct Publisher {
    relay: Arc<dyn Relay>,
    me: NodeRef,
    numbers: Mutex<Numbers>,
}

impl Publisher {
    /// A publisher for this start of this node. There must be one only, and the ids of nodes that use the relay must
    /// differ across roles too: a second publisher of the same name would use the same numbers, and targets would drop
    /// its hints as repeats.
    pub fn new(relay: Arc<dyn Relay>, me: NodeRef) -> Self {
        Self { relay, me, numbers: Mutex::default() }
    }

    /// The node that publishes.
    pub fn me(&self) -> &NodeRef {
        &self.me
    }

    /// Numbers the hints and publishes them, one batch in the relay.
    ///
    /// Where it fails, or is dropped before it is done, the numbers are used up all the same: what was lost is a hole
    /// at the targets, and they look into the store.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`].
    pub async fn publish(&self, batch: Vec<(NodeRef, Payload)>) -> Result<(), RelayError> {
        let mut batch = Some(batch);
        let mut publishing = None;
        poll_fn(|context| {
            if let Some(batch) = batch.take() {
                // Numbered and handed over under one lock, or two batches could overtake each other and every target
                // would see a hole: a relay takes a batch's place in the order when it is first polled.
                let mut numbers = self.numbers.lock();
                let publications =
                    batch.into_iter().map(|hint| self.publication(&mut numbers, hint)).collect();
                return publishing.insert(self.relay.publish(publications)).as_mut().poll(context);
            }
            match &mut publishing {
                Some(publishing) => publishing.as_mut().poll(context),
                None => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    fn publication(&self, numbers: &mut Numbers, (target, payload): (NodeRef, Payload)) -> Publication {
        let hint = Hint {
            publisher: self.me.clone(),
            number: numbers.next(&target),
            target_incarnation: target.incarnation,
            payload,
        };
        Publication { target: target.id, bytes: hint.encode() }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("me", &self.me).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Numbers {
    targets: HashMap<NodeRef, Target>,
    /// The highest number that a forgotten target had. One that comes back goes on above it: it may see a hole that is
    /// none, but never a number for the second time, which it would drop.
    floor: u64,
}

#[derive(Debug)]
struct Target {
    last: u64,
    used_at: Instant,
}

impl Numbers {
    fn next(&mut self, node: &NodeRef) -> u64 {
        let now = Instant::now();
        if let Some(target) = self.targets.get_mut(node) {
            target.last += 1;
            target.used_at = now;
            return target.last;
        }
        self.forget(node, now);
        let number = self.floor + 1;
        self.targets.insert(node.clone(), Target { last: number, used_at: now });
        number
    }

    /// Makes room for `newcomer`.
    fn forget(&mut self, newcomer: &NodeRef, now: Instant) {
        let Self { targets, floor } = self;
        targets.retain(|node, target| {
            let replaced = node.id == newcomer.id && node.incarnation < newcomer.incarnation;
            let idle = now.saturating_duration_since(target.used_at) > IDLE_MAX;
            if replaced || idle {
                *floor = (*floor).max(target.last);
            }
            !(replaced || idle)
        });
        if targets.len() < TARGETS_MAX {
            return;
        }
        let oldest = targets.iter().min_by_key(|(_, target)| target.used_at).map(|(node, _)| node.clone());
        if let Some(target) = oldest.and_then(|node| targets.remove(&node)) {
            *floor = (*floor).max(target.last);
        }
    }
}
