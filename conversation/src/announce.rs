//! Tells the nodes that hold recipients.

use std::{sync::Arc, time::Duration};

use relay::Publisher;
use tokio::time;
use wire::{NodeRef, Payload, Room};

/// How long hints may take to be published: a relay that hangs must not hold up the sends behind them.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a spear takes what is meant for itself.
pub trait LocalDelivery: Send + Sync + 'static {
    /// Takes hints that did not have to travel, in order. Must not block.
    fn deliver(&self, payloads: Vec<Payload>);

    /// The nodes that hold members of a room, as far as this one knows; itself among them. Must not block.
    fn room_nodes(&self, room: &Room) -> Vec<NodeRef>;
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

    /// Whether this node knows where the members of rooms are; one that does not has to ask the store.
    pub(crate) fn follows_rooms(&self) -> bool {
        self.local.is_some()
    }

    /// The nodes that hold members of a room; `None` where this node does not follow rooms.
    pub(crate) fn room_nodes(&self, room: &Room) -> Option<Vec<NodeRef>> {
        self.local.as_ref().map(|local| local.room_nodes(room))
    }

    /// Tells each node its payload. A relay that cannot be reached is logged and counted, never an error: the store
    /// holds what the hint was about, and the target finds it there.
    pub async fn tell(&self, hints: Vec<(NodeRef, Payload)>) {
        let (mut remote, mut here) = (Vec::with_capacity(hints.len()), Vec::new());
        for (node, payload) in hints {
            if self.local.is_some() && node == self.me {
                here.push(payload);
            } else {
                remote.push((node, payload));
            }
        }
        if let Some(local) = &self.local {
            local.deliver(here);
        }
        if remote.is_empty() {
            return;
        }
        let published = time::timeout(PUBLISH_TIMEOUT, self.publisher.publish(remote)).await;
        let trouble = match published {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the relay does not answer within {PUBLISH_TIMEOUT:?}"),
        };
        metrics::counter!("phalanx_relay_publish_failures_total").increment(1);
        tracing::warn!(
            trouble,
            "hints were not published; their targets will find the messages in the store"
        );
    }
}
