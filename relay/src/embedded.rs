//! Bounded queues within one process.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use crate::{Link, Publication, Relay, RelayError, Subscription};

/// How many hints wait for one node before further ones are dropped.
///
/// At 60,000 hints a second it covers a pause of 130 ms, longer than a node's tasks wait for a turn. A hint takes some
/// 300 bytes, so a full queue is 2.5 MB; one of messages of the largest size (64 KiB) would be 512 MiB.
const QUEUE_CAPACITY: usize = 8_192;

/// A relay for the nodes of one process. Clones share everything.
#[derive(Debug, Clone)]
pub struct EmbeddedRelay {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    capacity: usize,
    /// By node id; who has stopped receiving is removed by the next publication or subscription that meets it.
    subscribers: RwLock<HashMap<Arc<str>, Subscriber>>,
}

#[derive(Debug)]
struct Subscriber {
    hints: mpsc::Sender<Bytes>,
    /// Held so that the subscription's receiver stays open.
    _link: watch::Sender<Link>,
}

impl EmbeddedRelay {
    /// A relay that holds at most `capacity` hints (at least 1) for each node.
    pub fn new(capacity: usize) -> Self {
        Self { inner: Arc::new(Inner { capacity: capacity.max(1), subscribers: RwLock::default() }) }
    }
}

impl Default for EmbeddedRelay {
    /// A relay that holds at most 8,192 hints for each node.
    fn default() -> Self {
        Self::new(QUEUE_CAPACITY)
    }
}

#[async_trait]
impl Relay for EmbeddedRelay {
    async fn publish(&self, batch: Vec<Publication>) -> Result<(), RelayError> {
        let mut somebody_left = false;
        {
            let subscribers = self.inner.subscribers.read();
            for publication in batch {
                let Some(subscriber) = subscribers.get(&publication.target) else { continue };
                match subscriber.hints.try_send(publication.bytes) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        let target = publication.target.to_string();
                        metrics::counter!("phalanx_relay_dropped_total", "target" => target).increment(1);
                    }
                    Err(TrySendError::Closed(_)) => somebody_left = true,
                }
            }
        }
        if somebody_left {
            self.inner.subscribers.write().retain(|_, subscriber| !subscriber.hints.is_closed());
        }
        Ok(())
    }

    async fn subscribe(&self, id: &str) -> Result<Subscription, RelayError> {
        let (sender, hints) = mpsc::channel(self.inner.capacity);
        let (link_sender, link) = watch::channel(Link::Up);
        let mut subscribers = self.inner.subscribers.write();
        subscribers.retain(|_, subscriber| !subscriber.hints.is_closed());
        subscribers.insert(id.into(), Subscriber { hints: sender, _link: link_sender });
        Ok(Subscription { hints, link })
    }
}
