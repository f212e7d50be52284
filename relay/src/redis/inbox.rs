//! What arrives for one subscription, and how it is doing.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use redis_link::{
    OnPush,
    redis::{PushInfo, PushKind, Value},
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use crate::{Link, Subscription};

/// The sending side of a [`Subscription`]. Its connections come one after the other; only the latest one counts, so that one
/// that was given up adds nothing late.
#[derive(Debug)]
pub(super) struct Inbox {
    id: Arc<str>,
    state: Mutex<State>,
    /// The latest connection that is lost, by its number.
    lost: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// `None` once another subscription has replaced this one.
    hints: Option<mpsc::Sender<Bytes>>,
    link: watch::Sender<Link>,
    /// The number of the latest connection, from 1.
    connection: u64,
}

impl Inbox {
    pub(super) fn new(id: Arc<str>, capacity: usize) -> (Arc<Self>, Subscription) {
        let (sender, hints) = mpsc::channel(capacity);
        let (link_sender, link) = watch::channel(Link::Down);
        let state = State { hints: Some(sender), link: link_sender, connection: 0 };
        let inbox = Self { id, state: Mutex::new(state), lost: watch::Sender::new(0) };
        (Arc::new(inbox), Subscription { hints, link })
    }

    /// Makes a new connection the one that counts: its number, and what takes in what arrives on it.
    pub(super) fn next_connection(self: &Arc<Self>) -> (u64, OnPush) {
        let mut state = self.state.lock();
        state.connection += 1;
        let (inbox, number) = (self.clone(), state.connection);
        (number, Box::new(move |info| inbox.take(number, info)))
    }

    /// The connection is subscribed.
    pub(super) fn up(&self, connection: u64) {
        let state = self.state.lock();
        if *self.lost.borrow() < connection {
            state.link.send_replace(Link::Up);
        }
    }

    /// Nothing arrives on the connection any more.
    pub(super) fn down(&self, connection: u64) {
        let state = self.state.lock();
        if state.connection == connection && self.lost.send_replace(connection) < connection {
            metrics::counter!("phalanx_relay_links_lost_total", "target" => self.id.to_string()).increment(1);
            state.link.send_replace(Link::Down);
        }
    }

    /// Waits until the connection is lost.
    pub(super) async fn is_down(&self, connection: u64) {
        // The sender lives as long as this.
        let _ = self.lost.subscribe().wait_for(|lost| *lost >= connection).await;
    }

    /// The sender of the hints, where there still is one; to wait for the receiver's end.
    pub(super) fn hints(&self) -> Option<mpsc::Sender<Bytes>> {
        self.state.lock().hints.clone()
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        self.state.lock().hints = None;
    }

    fn take(&self, connection: u64, info: PushInfo) {
        match info.kind {
            PushKind::Message | PushKind::SMessage => {
                if let Some(Value::BulkString(bytes)) = info.data.into_iter().last() {
                    self.hint(connection, bytes.into());
                }
            }
            // The server of a cluster unsubscribes by itself where the slot goes elsewhere.
            PushKind::Disconnection | PushKind::Unsubscribe | PushKind::SUnsubscribe => self.down(connection),
            _ => {}
        }
    }

    fn hint(&self, connection: u64, bytes: Bytes) {
        let state = self.state.lock();
        let Some(hints) = state.hints.as_ref().filter(|_| state.connection == connection) else { return };
        if let Err(TrySendError::Full(_)) = hints.try_send(bytes) {
            metrics::counter!("phalanx_relay_dropped_total", "target" => self.id.to_string()).increment(1);
        }
    }
}
