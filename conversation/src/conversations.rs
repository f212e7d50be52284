//! The handle that spears and stat keep.

use std::sync::Arc;

use rpc::Ids;
use store::Store;

use crate::{Announcer, Limits, Pending, SendRequest, lanes::Lanes, send};

/// Everything that may be done to conversations. Cheap to clone; its background tasks end with the last clone.
#[derive(Clone)]
pub struct Conversations {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) announcer: Announcer,
    pub(crate) limits: Limits,
    lanes: Lanes,
}

impl Conversations {
    /// Starts the lanes; must be called within a tokio runtime.
    pub fn start(store: Arc<dyn Store>, ids: Arc<dyn Ids>, announcer: Announcer, limits: Limits) -> Self {
        let lanes = Lanes::start(store.clone(), ids, announcer.clone(), &limits);
        Self { inner: Arc::new(Inner { store, announcer, limits, lanes }) }
    }

    /// Sends a message. It takes its place in the order when this is called, not when the answer is awaited.
    ///
    /// Resolves to [`crate::Sent`] once the message is durable. A [`crate::Refusal`] with code `unavailable` leaves open
    /// whether it was stored: send it again with the same `cid`.
    pub fn send(&self, request: SendRequest) -> Pending {
        match send::check(&request, &self.inner.limits) {
            Ok(conversation) => self.inner.lanes.send(request, conversation),
            Err(refusal) => Pending::refused(refusal),
        }
    }

    /// The bounds that are checked.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Tells nodes something that is not a message.
    pub fn announcer(&self) -> &Announcer {
        &self.inner.announcer
    }
}
