//! Tells the nodes that hold recipients.

use std::sync::Arc;

use relay::Publisher;
use wire::{NodeRef, Payload};

/// Where a spear takes what is meant for itself.
pub trait LocalDelivery: Send + Sync + 'static {
    /// Takes a hint that did not have to travel. Must not block.
    fn deliver(&self, payload: Payload);
}

/// Publishes hints: to other nodes over the relay, to this one directly.
#[derive(Clone)]
pub struct Announcer {
    me: NodeRef,
    publisher: Arc<Publisher>,
    local: Option<Arc<dyn LocalDelivery>>,
}

impl Announcer {
    /// For a node without connections of its own: everything goes over the relay.
    pub fn remote(me: NodeRef, publisher: Arc<Publisher>) -> Self {
        Self { me, publisher, local: None }
    }

    /// For a spear: what is meant for itself goes straight to `local`.
    pub fn with_local(me: NodeRef, publisher: Arc<Publisher>, local: Arc<dyn LocalDelivery>) -> Self {
        Self { me, publisher, local: Some(local) }
    }

    /// Tells each node its payload. A relay that cannot be reached is logged and counted, never an error: the store
    /// holds what the hint was about, and the target finds it there.
    pub async fn tell(&self, hints: Vec<(NodeRef, Payload)>) {
        let mut remote = Vec::with_capacity(hints.len());
        for (node, payload) in hints {
            match &self.local {
                Some(local) if node == self.me => local.deliver(payload),
                _ => remote.push((node, payload)),
            }
        }
        if remote.is_empty() {
            return;
        }
        if let Err(error) = self.publisher.publish(remote).await {
            metrics::counter!("phalanx_relay_publish_failures_total").increment(1);
            tracing::warn!(%error, "hints were not published; their targets will find the messages in the store");
        }
    }
}
