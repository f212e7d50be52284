//! Where hints that have arrived wait, in relays that are read by a task.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    watch,
};

use crate::{Link, Subscription};

/// How many hints wait in a node before further ones are dropped; as in the embedded relay.
pub(crate) const QUEUE_CAPACITY: usize = 8_192;

/// The sending side of a [`Subscription`].
pub(crate) struct Inbox {
    id: Arc<str>,
    /// `None` once another subscription has replaced this one.
    hints: Mutex<Option<mpsc::Sender<Bytes>>>,
    link: watch::Sender<Link>,
    replaced: Notify,
}

impl Inbox {
    fn new(id: Arc<str>, capacity: usize) -> (Arc<Self>, Subscription) {
        let (sender, hints) = mpsc::channel(capacity);
        let (link_sender, link) = watch::channel(Link::Up);
        let inbox = Self { id, hints: Mutex::new(Some(sender)), link: link_sender, replaced: Notify::new() };
        (Arc::new(inbox), Subscription { hints, link })
    }

    /// Takes nothing any more.
    fn close(&self) {
        *self.hints.lock() = None;
        self.replaced.notify_one();
    }

    /// Whether hints can still arrive.
    fn is_open(&self) -> bool {
        self.hints.lock().as_ref().is_some_and(|hints| !hints.is_closed())
    }

    /// Reads, by `receiving`, until the receiver is gone, another subscription has replaced this one, or `receiving` says why it cannot go on.
    pub(crate) async fn fill(&self, topic: &str, receiving: impl Future<Output = String>) {
        let sender = self.hints.lock().clone();
        if let Some(sender) = sender {
            tokio::select! {
                () = sender.closed() => {}
                () = self.replaced.notified() => {}
                why = receiving => tracing::warn!(topic, why, "the subscription has ended"),
            }
        }
        self.down();
        self.close();
    }

    pub(crate) fn take(&self, bytes: Bytes) {
        let hints = self.hints.lock();
        if let Some(Err(TrySendError::Full(_))) = hints.as_ref().map(|hints| hints.try_send(bytes)) {
            metrics::counter!("phalanx_relay_dropped_total", "target" => self.id.to_string()).increment(1);
        }
    }

    pub(crate) fn up(&self) {
        if self.link.send_if_modified(|link| std::mem::replace(link, Link::Up) != Link::Up) {
            tracing::info!(node = &*self.id, "the subscription is back");
        }
    }

    /// Whether it was up.
    pub(crate) fn down(&self) -> bool {
        let changed = self.link.send_if_modified(|link| std::mem::replace(link, Link::Down) != Link::Down);
        if changed {
            metrics::counter!("phalanx_relay_links_lost_total", "target" => self.id.to_string()).increment(1);
        }
        changed
    }
}

/// The inboxes of a relay, by node id; one whose receiver is gone is removed by the next subscription.
pub(crate) struct Inboxes {
    capacity: usize,
    open: Mutex<HashMap<Arc<str>, Arc<Inbox>>>,
}

impl Inboxes {
    /// At most `capacity` hints, at least 1, wait in each.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), open: Mutex::default() }
    }

    /// A new one, which replaces the former of this id.
    pub(crate) fn open(&self, id: Arc<str>) -> (Arc<Inbox>, Subscription) {
        let (inbox, subscription) = Inbox::new(id.clone(), self.capacity);
        let mut open = self.open.lock();
        open.retain(|_, inbox| inbox.is_open());
        if let Some(former) = open.insert(id, inbox.clone()) {
            former.close();
        }
        (inbox, subscription)
    }
}
