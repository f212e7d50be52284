//! The seam to the socket.io layer: identity, an event in, bytes out, close.
//!
//! Nothing above this folder knows which library speaks socket.io, and nothing in it knows what an event means.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the seam: [`Gate`], [`Inlet`], [`Outlet`], [`Reply`] |
//! | `frame.rs` | [`Frame`]: an event encoded once and shared by all who get it |
//! | `packet.rs` | Socket.IO packets, protocols 4 and 5, as text |
//! | `engine.rs` | the implementation on engineioxide |
//! | `engine_outlet.rs` | its outgoing side: a bounded queue and what waits for it |

mod engine;
mod engine_outlet;
mod frame;
mod packet;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::value::RawValue;
use wire::Code;

pub(crate) use engine::{EngineSettings, service};
pub(crate) use frame::Frame;

/// What a client brings when it connects.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// From `auth` (protocol 5) or the query (both); not checked yet.
    pub(crate) ticket: Option<String>,
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAdmitted {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// Decides who gets in.
pub(crate) trait Gate: Send + Sync + 'static {
    /// Must not block. What it answers takes the events of this connection.
    fn admit(&self, handshake: Handshake, outlet: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, NotAdmitted>;
}

/// Takes what comes from one connection, in the order in which it came. Nothing here may block.
pub(crate) trait Inlet: Send + Sync + 'static {
    /// The client has been told that it is connected.
    fn opened(self: Arc<Self>);

    /// An event; `payload` is its first argument. A client that wants no acknowledgement gets none from `reply`.
    fn event(self: Arc<Self>, name: &str, payload: Option<&RawValue>, reply: Reply);

    /// The connection is gone. May be said twice.
    fn closed(self: Arc<Self>);
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// The client does not keep up: the outgoing queue is full.
    Full,
    /// The connection is gone.
    Closed,
}

/// Sends to one connection.
#[async_trait]
pub(crate) trait Outlet: Send + Sync + 'static {
    /// Queues a frame; frames leave in the order in which they were queued.
    fn send(&self, frame: &Frame) -> Result<(), Backlog>;

    /// Queues an acknowledgement. It waits for room where there is none; too many that wait close the connection.
    fn acknowledge(&self, ack_id: u64, json: &str);

    /// Waits until there may be room again.
    async fn writable(&self) -> Result<(), Backlog>;

    /// Tells the client to go, and closes the connection once that has left or a short time has passed.
    fn close(&self);
}

/// Where the acknowledgement of one event goes.
pub(crate) struct Reply {
    outlet: Arc<dyn Outlet>,
    ack_id: Option<u64>,
}

impl Reply {
    pub(crate) fn new(outlet: Arc<dyn Outlet>, ack_id: Option<u64>) -> Self {
        Self { outlet, ack_id }
    }

    /// Answers with JSON; nothing happens where the client asked for no acknowledgement.
    pub(crate) fn send(self, json: &str) {
        if let Some(ack_id) = self.ack_id {
            self.outlet.acknowledge(ack_id, json);
        }
    }
}
