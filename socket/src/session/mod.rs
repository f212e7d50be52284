//! One Engine.IO session, and the one Socket.IO connection in it.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Session`]: what is known about it; how it ends |
//! | `outgoing.rs` | what waits to be sent, and who waits for room |
//! | `heartbeat.rs` | what its deadlines ask for |
//! | `connect.rs` | packets from the client: connecting, events, acknowledgements |
//! | `asked.rs` | events of ours that the client is to acknowledge |
//! | `id.rs` | the session's id |

mod asked;
mod connect;
mod heartbeat;
mod id;
mod outgoing;

use std::{
    sync::{Arc, Weak},
    task::Waker,
};

use parking_lot::Mutex;
use serde_json::json;

use crate::{
    Frame, HandshakeRequest, Inlet, Reason,
    clock::{Moment, millis},
    codec::{Revision, engine},
    layer::Layer,
    unconnected::Place,
};

use self::{asked::Asked, heartbeat::Heartbeat, outgoing::Outgoing};

pub(crate) use id::SessionId;
pub(crate) use outgoing::{Batch, Taken};

pub(crate) struct Session {
    layer: Arc<Layer>,
    id: SessionId,
    revision: Revision,
    me: Weak<Self>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    carrier: Carrier,
    heartbeat: Heartbeat,
    outgoing: Outgoing,
    /// Whoever takes the events: from when the client is let in to the end, which breaks the ring of references.
    inlet: Option<Arc<dyn Inlet>>,
    /// The driver of the WebSocket, or the request that waits for something to be sent.
    waker: Option<Waker>,
    asked: Option<Box<Asked>>,
    /// Until the client is let in.
    newcomer: Option<Box<Newcomer>>,
    /// Nothing is taken from the client for a while.
    held: bool,
    /// By when the client must be let in, or hang up after it has left.
    connect_by: Option<Moment>,
}

/// One who was not let in yet.
pub(crate) struct Newcomer {
    pub(crate) request: HandshakeRequest,
    /// Left when this is dropped, whatever becomes of the session.
    pub(crate) _place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    /// What was queued is still sent; then the session ends.
    Leaving {
        by: Moment,
    },
    /// Over for everybody above. A WebSocket may wait until then for its client to hang up.
    Ended {
        reason: Reason,
        linger_until: Moment,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Polling(Polling),
    WebSocket,
}

/// Which requests of a polling session are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Polling {
    /// One that waits for something to be sent.
    pub(crate) get: bool,
    /// One that brings packets.
    pub(crate) post: bool,
    /// A WebSocket that probes.
    pub(crate) probe: bool,
    /// The probe was answered: the client waits until its last request is answered.
    pub(crate) pausing: bool,
}

/// How a session parts from its client.
#[derive(Debug, Clone)]
pub(crate) enum Farewell {
    /// At once.
    Cut,
    /// After this frame, and the client's own end.
    Say(Frame),
}

impl Session {
    /// A new session, and the open packet, which is to be sent before anything else.
    pub(crate) fn open(layer: &Arc<Layer>, newcomer: Newcomer, websocket: bool) -> (Arc<Self>, String) {
        let settings = &layer.settings;
        let now = layer.clock.now();
        let id = SessionId::random();
        let revision = newcomer.request.revision;
        let upgrades: &[&str] = if websocket { &[] } else { &["websocket"] };
        let mut open = json!({
            "sid": id.to_string(),
            "upgrades": upgrades,
            "pingInterval": millis(settings.ping_interval),
            "pingTimeout": millis(settings.ping_timeout),
        });
        if revision == Revision::V4 {
            open["maxPayload"] = settings.max_packet_bytes.into();
        }
        let by = now + millis(settings.connect_timeout);
        let carrier = if websocket { Carrier::WebSocket } else { Carrier::Polling(Polling::default()) };
        let session = Arc::new_cyclic(|me| Self {
            layer: layer.clone(),
            id,
            revision,
            me: me.clone(),
            state: Mutex::new(State {
                stage: Stage::Open,
                carrier,
                heartbeat: Heartbeat::new(now),
                outgoing: Outgoing::default(),
                inlet: None,
                waker: None,
                asked: None,
                newcomer: Some(Box::new(newcomer)),
                held: false,
                connect_by: Some(by),
            }),
        });
        layer.opened(&session);
        let first = by.min(now + millis(settings.ping_interval));
        layer.wheel.insert(first, Arc::downgrade(&session));
        (session, engine::open(&open.to_string()))
    }

    /// The open packet is on its way: what follows may follow.
    pub(crate) fn begin(self: &Arc<Self>) {
        // Protocol 4 has no connect packet for the default namespace: the handshake is the request.
        if self.revision == Revision::V3 {
            self.connect(None);
        }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn layer(&self) -> &Arc<Layer> {
        &self.layer
    }

    /// Changes which requests are under way; `change` answers what it thinks. `None` where it is not a polling session (any more).
    pub(crate) fn polling<R>(&self, change: impl FnOnce(&mut Polling) -> R) -> Option<R> {
        let state = &mut *self.state.lock();
        match (&state.stage, &mut state.carrier) {
            (Stage::Ended { .. }, _) | (_, Carrier::WebSocket) => None,
            (_, Carrier::Polling(polling)) => Some(change(polling)),
        }
    }

    /// The largest packet that the client may send now.
    pub(crate) fn max_packet_bytes(&self) -> usize {
        let settings = &self.layer.settings;
        let most = settings.max_packet_bytes;
        if self.state.lock().newcomer.is_some() { most.min(settings.max_connect_bytes) } else { most }
    }

    /// From now on a WebSocket carries it.
    pub(crate) fn carry_by_websocket(&self) -> bool {
        let mut state = self.state.lock();
        let open = !matches!(state.stage, Stage::Ended { .. });
        if open {
            state.carrier = Carrier::WebSocket;
            self.layer.forget(&self.id);
        }
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        open
    }

    /// Why it has ended, if it has.
    pub(crate) fn ended(&self) -> Option<Reason> {
        match self.state.lock().stage {
            Stage::Ended { reason, .. } => Some(reason),
            Stage::Open | Stage::Leaving { .. } => None,
        }
    }

    /// Wakes whoever carries the session, to look again.
    pub(crate) fn wake_carrier(&self) {
        let waker = self.state.lock().waker.take();
        wake(waker);
    }

    /// Ends the session; the first reason stands.
    pub(crate) fn end(&self, reason: Reason, farewell: Farewell) {
        let now = self.layer.clock.now();
        let linger_until = match farewell {
            Farewell::Cut => now,
            Farewell::Say(_) => now + millis(self.layer.settings.leave_timeout),
        };
        let (wakers, asked, newcomer, inlet, websocket) = {
            let mut state = self.state.lock();
            if matches!(state.stage, Stage::Ended { .. }) {
                return;
            }
            state.stage = Stage::Ended { reason, linger_until };
            let mut wakers = state.outgoing.clear();
            if let Farewell::Say(frame) = farewell {
                state.outgoing.push(frame);
            }
            wakers.extend(state.waker.take());
            let websocket = state.carrier == Carrier::WebSocket;
            (wakers, state.asked.take(), state.newcomer.take(), state.inlet.take(), websocket)
        };
        drop(newcomer);
        self.layer.closed(self, reason);
        if websocket && linger_until > now {
            self.layer.wheel.insert(linger_until, self.me.clone());
        }
        drop(asked);
        for waker in wakers {
            waker.wake();
        }
        if let Some(inlet) = inlet {
            inlet.closed(reason);
        }
    }

    /// Ends it because of what the client sent.
    pub(crate) fn end_by_fault(&self, reason: Reason, close_code: Option<u16>) {
        self.end(reason, Farewell::Say(Frame::close(close_code)));
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        crate::burst::wake(waker);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
