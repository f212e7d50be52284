//! What is above a session: who lets it in, who takes its events, who sends to it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use http::HeaderMap;
use serde_json::value::RawValue;

use crate::{
    Frame,
    codec::{Revision, packet::Event},
};

/// The address of the client, as an extension of its request; the address of a proxy, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What a client brings when it connects to the default namespace.
#[derive(Clone, Copy)]
pub struct Handshake<'a> {
    /// Names the connection, and is told to the client. Unlike the id of the Engine.IO session it is no secret.
    pub id: &'a str,
    /// Its `auth`, a JSON object; clients of protocol 4 have none.
    pub auth: Option<&'a RawValue>,
    /// The first request.
    pub request: &'a HandshakeRequest,
}

/// The request that a session began with, kept until the client is let in.
pub struct HandshakeRequest {
    /// The revision of Engine.IO that the client speaks.
    pub revision: Revision,
    /// As it was sent, without the question mark.
    pub query: Box<str>,
    /// A copy: nothing of the connection's read buffer is kept.
    pub headers: HeaderMap,
    /// See [`Peer`].
    pub peer: Option<SocketAddr>,
}

/// Without `auth`, which is a secret.
impl std::fmt::Debug for Handshake<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("id", &self.id)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// Without query and headers, which may hold secrets.
impl std::fmt::Debug for HandshakeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeRequest")
            .field("revision", &self.revision)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl HandshakeRequest {
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip())
    }

    /// The first value of a parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }
}

/// Why a client is not let in: what its `connect_error` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `error.message`.
    pub message: String,
    /// `error.data`, as JSON. Clients of protocol 4 are given this, or the message where there is none.
    pub data: Option<String>,
}

/// Decides who gets in.
pub trait Gate: Send + Sync + 'static {
    /// Must not block. What it answers takes the events of this connection.
    ///
    /// # Errors
    /// A refusal; the client may try again with other `auth` until the time to connect is over.
    fn admit(&self, handshake: Handshake<'_>, outlet: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, Refusal>;
}

/// Takes what comes from one connection, in the order in which it came. Nothing here may block.
pub trait Inlet: Send + Sync + 'static {
    /// The client has been told that it is connected.
    fn opened(self: Arc<Self>) {}

    /// An event. A client that wants no acknowledgement gets none from `reply`.
    fn event(self: Arc<Self>, event: Event<'_>, reply: Reply);

    /// An event with binary attachments, which are not taken.
    fn binary_event(self: Arc<Self>, reply: Reply) {
        drop(reply);
    }

    /// The connection is gone. Said once, and after [`Inlet::opened`].
    fn closed(self: Arc<Self>, reason: Reason);
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// The client does not keep up: as many bytes wait as may.
    Full,
    /// The connection is gone, or about to be.
    Closed,
}

/// The client has not acknowledged an event: the connection has ended, too much is waited for, or the event was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has not acknowledged the event")]
pub struct Unanswered;

/// Sends to one connection.
#[async_trait]
pub trait Outlet: Send + Sync + 'static {
    /// Queues a frame; frames leave in the order in which they were queued.
    ///
    /// # Errors
    /// [`Backlog`]: nothing was queued.
    fn send(&self, frame: &Frame) -> Result<(), Backlog>;

    /// Acknowledges an event; `args` is the JSON of the arguments, separated by commas. Never refused: what bounds it is that
    /// nothing is read from a client for which much waits, see [`crate::Settings::outgoing_bytes`].
    fn acknowledge(&self, ack_id: u64, args: &str);

    /// Sends an event and waits for the client's acknowledgement: the JSON array of its arguments. The caller bounds the wait.
    ///
    /// # Errors
    /// [`Unanswered`].
    async fn ask(&self, name: &str, args: &str) -> Result<Box<RawValue>, Unanswered>;

    /// Waits until there is room again.
    ///
    /// # Errors
    /// [`Backlog::Closed`].
    async fn writable(&self) -> Result<(), Backlog>;

    /// Takes nothing from the client for so long, as from one who asks for too much. What it has sent stays with the system, and
    /// in its own queue once that is full. Within a tokio runtime; one that holds already is not held longer.
    fn hold(&self, _time: Duration) {}

    /// Tells the client to go, and closes the connection once that has left or a short time has passed.
    fn close(&self);
}

/// Where the acknowledgement of one event goes.
pub struct Reply {
    outlet: Arc<dyn Outlet>,
    ack_id: Option<u64>,
}

impl Reply {
    /// For an event with this number; without one, nothing is ever sent.
    pub fn new(outlet: Arc<dyn Outlet>, ack_id: Option<u64>) -> Self {
        Self { outlet, ack_id }
    }

    /// Whether the client waits for it.
    pub fn is_wanted(&self) -> bool {
        self.ack_id.is_some()
    }

    /// Answers with the JSON of the arguments, separated by commas.
    pub fn send(self, args: &str) {
        if let Some(ack_id) = self.ack_id {
            self.outlet.acknowledge(ack_id, args);
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("ack_id", &self.ack_id).finish_non_exhaustive()
    }
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The client left the namespace.
    ClientLeft,
    /// [`Outlet::close`] was called.
    ServerClosed,
    /// The transport was closed, as by a page that was left, or failed.
    TransportClosed,
    /// Nothing was heard from the client for too long.
    PingTimeout,
    /// The client was not let in in time.
    ConnectTimeout,
    /// Something that is neither protocol, or two requests at once where there may be one.
    Malformed,
    /// A packet larger than may be.
    TooLarge,
    /// The client asks and does not read the answers.
    TooSlow,
}

impl Reason {
    /// All there are, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::ClientLeft,
        Self::ServerClosed,
        Self::TransportClosed,
        Self::PingTimeout,
        Self::ConnectTimeout,
        Self::Malformed,
        Self::TooLarge,
        Self::TooSlow,
    ];

    /// For logs and the labels of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::ServerClosed => "server_closed",
            Self::TransportClosed => "transport_closed",
            Self::PingTimeout => "ping_timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
        }
    }
}
