//! Redis Pub/Sub: a channel a node. On a single server or behind Sentinel PUBLISH, on a cluster its sharded sibling SPUBLISH,
//! which stays on the server that owns the channel's slot.
//!
//! | file | what |
//! |---|---|
//! | `outbox.rs` | what waits to be published: a queue for each server, one round trip at a time |
//! | `subscriber.rs` | keeps one subscription alive on a connection of its own |
//! | `inbox.rs` | what arrives there, and how the subscription is doing |

mod inbox;
mod outbox;
mod subscriber;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use redis_link::{Link as RedisLink, LinkError, Mode, RedisOptions};
use tokio::task::AbortHandle;

use crate::{Link, Publication, Relay, RelayError, Subscription};

use inbox::Inbox;
use outbox::Outbox;
use subscriber::Subscriber;

/// How many hints wait in a node before further ones are dropped; as in the embedded relay.
const QUEUE_CAPACITY: usize = 8_192;

/// A relay over Redis. Clones share everything.
///
/// A subscription has a connection of its own, which is made again, and subscribed again, whatever cuts it. What is
/// published meanwhile is lost; [`Link`] says so.
#[derive(Debug, Clone)]
pub struct RedisRelay {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: RedisLink,
    prefix: String,
    capacity: usize,
    outbox: Outbox,
    /// By node id; one whose receiver is gone is removed by the next subscription.
    subscriptions: Mutex<HashMap<Arc<str>, Subscribed>>,
}

#[derive(Debug)]
struct Subscribed {
    inbox: Arc<Inbox>,
    task: AbortHandle,
}

impl RedisRelay {
    /// A relay whose channels are called `prefix` and the node's id: `phalanx:relay:` makes `phalanx:relay:spear-1`. All
    /// nodes of a cluster need the same one, and clusters that share a Redis different ones; databases keep no channels
    /// apart.
    ///
    /// It does nothing before it is first used, which must be within a tokio runtime.
    ///
    /// # Errors
    /// [`LinkError::Options`]: they do not fit together.
    pub fn new(options: RedisOptions, prefix: impl Into<String>) -> Result<Self, LinkError> {
        Self::with_capacity(options, prefix, QUEUE_CAPACITY)
    }

    /// The same, with at most `capacity` hints (at least 1) that wait for each subscription; 8,192 otherwise.
    ///
    /// # Errors
    /// [`LinkError::Options`]: they do not fit together.
    pub fn with_capacity(
        options: RedisOptions,
        prefix: impl Into<String>,
        capacity: usize,
    ) -> Result<Self, LinkError> {
        let (prefix, capacity) = (prefix.into(), capacity.max(1));
        let link = RedisLink::new(options)?;
        let outbox = Outbox::new(link.clone());
        let inner = Inner { link, prefix, capacity, outbox, subscriptions: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn channel(&self, id: &str) -> String {
        format!("{}{id}", self.inner.prefix)
    }
}

/// Whether channels are sharded over the servers.
fn sharded(link: &RedisLink) -> bool {
    link.options().mode == Mode::Cluster
}

fn unavailable(error: &LinkError) -> RelayError {
    RelayError::Unavailable(error.to_string())
}

#[async_trait]
impl Relay for RedisRelay {
    /// Published where Redis has answered; how many subscribers it reached is not looked at.
    async fn publish(&self, batch: Vec<Publication>) -> Result<(), RelayError> {
        let batch =
            batch.into_iter().map(|publication| (self.channel(&publication.target), publication.bytes));
        self.inner.outbox.publish(batch.collect()).await
    }

    async fn subscribe(&self, id: &str) -> Result<Subscription, RelayError> {
        let id: Arc<str> = id.into();
        let (inbox, mut subscription) = Inbox::new(id.clone(), self.inner.capacity);
        let subscriber = Subscriber::new(self.inner.link.clone(), self.channel(&id), inbox.clone());
        let connected = subscriber.connect().await.map_err(|error| unavailable(&error))?;
        let mut subscriptions = self.inner.subscriptions.lock();
        subscriptions.retain(|_, subscribed| !subscribed.task.is_finished());
        let task = tokio::spawn(subscriber.run(connected)).abort_handle();
        if let Some(former) = subscriptions.insert(id, Subscribed { inbox, task }) {
            former.inbox.close();
            former.task.abort();
        }
        // That it came up is no news to the caller; that it was lost since then is.
        if *subscription.link.borrow_and_update() == Link::Down {
            subscription.link.mark_changed();
        }
        Ok(subscription)
    }
}
