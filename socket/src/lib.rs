//! Socket.IO sessions over HTTP and WebSocket, small enough for very many idle ones.
//!
//! Speaks Engine.IO 4 and 3, Socket.IO protocol 5 and 4 (clients of version 4, 3 and 2), over WebSocket, long-polling, and the upgrade
//! from one to the other. [`SocketService`] is a tower service over hyper's requests: axum mounts it, and so does any other server
//! that offers hyper's upgrades. It has the default namespace, text events, and acknowledgements both ways; binary events are handed
//! up as such, without their attachments.
//!
//! ```no_run
//! use std::sync::Arc;
//! use socket::{Event, Gate, Handshake, Inlet, Outlet, Reason, Refusal, Reply, Settings, SocketService};
//!
//! struct Echo;
//!
//! impl Gate for Echo {
//!     fn admit(&self, _: Handshake<'_>, _: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, Refusal> {
//!         Ok(Arc::new(Echo))
//!     }
//! }
//!
//! impl Inlet for Echo {
//!     fn event(self: Arc<Self>, event: Event<'_>, reply: Reply) {
//!         reply.send(event.args.first().map_or("null", |first| first.get()));
//!     }
//!
//!     fn closed(self: Arc<Self>, _: Reason) {}
//! }
//!
//! # async fn example() {
//! let service = SocketService::new(Arc::new(Echo), Settings::default());
//! let router: axum::Router = axum::Router::new().fallback_service(service);
//! # }
//! ```
//!
//! From outside to inside:
//!
//! | file | what |
//! |---|---|
//! | `seam.rs` | [`Gate`], [`Inlet`], [`Outlet`]: what the user of this crate writes and is given |
//! | `settings.rs` | [`Settings`]: every bound and time |
//! | `frame.rs` | [`Frame`]: an event encoded once and shared by all who get it |
//! | `burst.rs` | [`burst`]: sending much at once |
//! | `service.rs` | [`SocketService`]: which request is for whom |
//! | `answer.rs` | what requests are answered |
//! | `polling.rs` | long-polling |
//! | `websocket/` | WebSockets, and the upgrade |
//! | `session/` | one session: its queue, its heartbeat, its packets, its end |
//! | `layer.rs` | what all sessions share |
//! | `wheel.rs` `clock.rs` | the one timer of all sessions |
//! | `unconnected.rs` | the bound on those who were not let in yet |
//! | `codec/` | the bytes of the three protocols |
//!
//! # What is bounded
//!
//! The time until a client is let in, and the number of those who wait for it, in all and by address; packets and bodies from the
//! client; what waits to be sent to it, in bytes. While as much waits as may, nothing is read from it: TCP tells the client to slow
//! down. A client that answers no ping and reads nothing is closed in time, and keeps nothing.

pub mod codec;

mod answer;
mod burst;
mod clock;
mod frame;
mod layer;
mod polling;
mod seam;
mod service;
mod session;
mod settings;
mod unconnected;
mod websocket;
mod wheel;

pub use burst::burst;
pub use codec::packet::Event;
pub use frame::Frame;
pub use seam::{
    Backlog, Gate, Handshake, HandshakeRequest, Inlet, Outlet, Peer, Reason, Refusal, Reply, Unanswered,
};
pub use service::SocketService;
pub use settings::Settings;
