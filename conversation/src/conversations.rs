//! The handle that spears and stat keep.

use std::sync::Arc;

use rpc::Ids;
use store::Store;
use wire::Destination;

use crate::{
    Announcer, Judge, Limits, Pending, Refusal, RoomSent, SendRequest, SignalRequest, gate::Gate,
    lanes::Lanes, rooms::RoomLanes, routes::Routes, send, signals::Signals,
};

/// Everything that may be done to conversations. Cheap to clone; its background tasks end with the last clone.
#[derive(Clone)]
pub struct Conversations {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) announcer: Announcer,
    pub(crate) limits: Limits,
    pub(crate) routes: Arc<Routes>,
    lanes: Lanes,
    /// Before the lanes, where somebody judges messages.
    gate: Option<Gate>,
    rooms: RoomLanes,
    signals: Signals,
}

impl Conversations {
    /// Starts the lanes; must be called within a tokio runtime.
    pub fn start(store: Arc<dyn Store>, ids: Arc<dyn Ids>, announcer: Announcer, limits: Limits) -> Self {
        Self::start_judged(store, ids, announcer, limits, None)
    }

    /// The same; with a judge, messages to users and groups are stored only if it allows them.
    pub fn start_judged(
        store: Arc<dyn Store>,
        ids: Arc<dyn Ids>,
        announcer: Announcer,
        limits: Limits,
        judge: Option<Arc<dyn Judge>>,
    ) -> Self {
        let routes = Arc::new(Routes::new(store.clone()));
        let lanes = Lanes::start(store.clone(), ids.clone(), announcer.clone(), routes.clone(), &limits);
        let gate = judge.map(|judge| Gate::new(judge, lanes.clone(), limits.pending_sends));
        let rooms = RoomLanes::start(store.clone(), ids.clone(), announcer.clone(), &limits);
        let signals = Signals::start(store.clone(), announcer.clone());
        let inner = Inner { store, ids, announcer, limits, routes, lanes, gate, rooms, signals };
        Self { inner: Arc::new(inner) }
    }

    /// Sends a message. It takes its place in the order when this is called, not when the answer is awaited.
    ///
    /// Resolves to [`crate::Sent`] once the message is durable. A [`crate::Refusal`] with code `unavailable` leaves open
    /// whether it was stored: send it again with the same `cid`.
    pub fn send(&self, request: SendRequest) -> Pending {
        match send::check(&request, &self.inner.limits) {
            Ok(conversation) => match &self.inner.gate {
                None => self.inner.lanes.send(request, conversation),
                Some(gate) => gate.send(request, conversation),
            },
            Err(refusal) => Pending::refused(refusal),
        }
    }

    /// Sends a message to a room; whether the sender may, the caller knows. Like [`Conversations::send`] it takes its place in
    /// the order when this is called.
    ///
    /// Resolves to [`RoomSent`] once it has an id and is on its way; who is not reached then never is.
    pub fn send_to_room(&self, request: SendRequest) -> Pending<RoomSent> {
        let Destination::Room(room) = &request.to else {
            return Pending::refused(Refusal::bad_request("to: expected room"));
        };
        match send::check_sizes(&request, &self.inner.limits) {
            Ok(()) => {
                let room = room.clone();
                self.inner.rooms.send(request, room)
            }
            Err(refusal) => Pending::refused(refusal),
        }
    }

    /// Hands over a signal whose body has at most `body_bytes` of JSON; whether the sender may, the caller knows. Nobody waits
    /// for it to arrive anywhere.
    ///
    /// # Errors
    /// `too_large`; `bad_request` for a `type` that is empty or too long; `unavailable` where too many wait on this node.
    pub fn signal(&self, request: &SignalRequest, body_bytes: usize) -> Result<(), Refusal> {
        self.inner.signals.send(request, &self.inner.limits, body_bytes)
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
