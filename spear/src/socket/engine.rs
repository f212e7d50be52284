//! The implementation on engineioxide, the engine of socketioxide.
//!
//! Not on socketioxide itself: its refusals carry a message only, while CONTRACT §2 wants `data.code`, and it
//! encodes an event again for each who gets it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use engineioxide::{
    DisconnectReason, Socket, TransportType, config::EngineIoConfig, handler::EngineIoHandler,
    service::EngineIoService,
};
use engineioxide_core::{ProtocolVersion, Str};
use serde_json::json;

use super::{
    Frame, Gate, Handshake, Inlet, NotAdmitted, Outlet as _, Reply,
    engine_outlet::EngineOutlet,
    packet::{self, Incoming},
};
use wire::Code;

/// Bounds and times of the socket.io layer.
#[derive(Debug, Clone)]
pub(crate) struct EngineSettings {
    /// The time between two pings.
    pub(crate) ping_interval: Duration,
    /// How long a client may take to answer one.
    pub(crate) ping_timeout: Duration,
    /// How long a client may take until it is connected to the namespace.
    pub(crate) connect_timeout: Duration,
    /// The largest packet from a client, in bytes.
    pub(crate) max_packet_bytes: usize,
    /// The most frames that wait to be sent to one connection.
    pub(crate) outgoing_frames: usize,
}

/// What belongs to one engine.io session; empty until the client is let in.
#[derive(Default)]
pub(super) struct Slot(OnceLock<Admitted>);

struct Admitted {
    inlet: Arc<dyn Inlet>,
    outlet: Arc<EngineOutlet>,
}

pub(super) struct Engine {
    gate: Arc<dyn Gate>,
    connect_timeout: Duration,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// The tower service that answers at `/socket.io/`.
pub(crate) fn service(
    gate: Arc<dyn Gate>,
    settings: &EngineSettings,
) -> EngineIoService<impl EngineIoHandler> {
    let config = EngineIoConfig::builder()
        .req_path("/socket.io")
        .ping_interval(settings.ping_interval)
        .ping_timeout(settings.ping_timeout)
        .max_buffer_size(settings.outgoing_frames)
        .max_payload(settings.max_packet_bytes as u64)
        .ws_max_message_size(settings.max_packet_bytes)
        .ws_max_frame_size(settings.max_packet_bytes)
        .ws_read_buffer_size(512)
        .transports([TransportType::Polling, TransportType::Websocket])
        .build();
    EngineIoService::with_config(Arc::new(Engine { gate, connect_timeout: settings.connect_timeout }), config)
}

impl EngineIoHandler for Engine {
    type Data = Slot;

    fn on_connect(self: Arc<Self>, socket: Arc<Socket<Slot>>) {
        let timeout = self.connect_timeout;
        let waiting = Arc::downgrade(&socket);
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            if let Some(socket) = waiting.upgrade().filter(|socket| socket.data.0.get().is_none()) {
                socket.close(DisconnectReason::TransportClose);
            }
        });
        // Protocol 4 has no connect packet for the default namespace: the handshake is the request.
        if socket.protocol == ProtocolVersion::V3 {
            let ticket = ticket_in_query(&socket);
            self.connect(&socket, ticket);
        }
    }

    fn on_disconnect(&self, socket: Arc<Socket<Slot>>, _reason: DisconnectReason) {
        if let Some(admitted) = socket.data.0.get() {
            admitted.inlet.clone().closed();
        }
    }

    fn on_message(self: &Arc<Self>, text: Str, socket: Arc<Socket<Slot>>) {
        let Ok(incoming) = packet::parse(text.as_str()) else {
            return socket.close(DisconnectReason::PacketParsingError);
        };
        match incoming {
            Incoming::Connect { auth } => {
                if socket.data.0.get().is_none() {
                    let ticket = packet::ticket_of(auth).or_else(|| ticket_in_query(&socket));
                    self.connect(&socket, ticket);
                }
            }
            Incoming::Event { ack_id, json } => self.event(&socket, ack_id, json),
            Incoming::BinaryEvent { ack_id } => {
                if let (Some(admitted), Some(ack_id)) = (socket.data.0.get(), ack_id) {
                    let refusal = json!({"ok": false, "error": {
                        "code": Code::BadRequest, "message": "binary is not taken: expected JSON"}});
                    admitted.outlet.acknowledge(ack_id, &refusal.to_string());
                }
            }
            Incoming::Disconnect => socket.close(DisconnectReason::TransportClose),
            Incoming::Ack => {}
            Incoming::OtherNamespace { namespace, connect } => {
                if connect {
                    let message = json!({"message": "Invalid namespace"});
                    drop(socket.emit(format!("4{namespace},{message}")));
                }
            }
        }
    }

    /// An attachment of a binary event that was refused.
    fn on_binary(self: &Arc<Self>, _data: Bytes, _socket: Arc<Socket<Slot>>) {}
}

impl Engine {
    fn connect(&self, socket: &Arc<Socket<Slot>>, ticket: Option<String>) {
        let outlet = Arc::new(EngineOutlet::new(socket.clone()));
        match self.gate.admit(Handshake { ticket }, outlet.clone()) {
            Ok(inlet) => {
                if socket.data.0.set(Admitted { inlet: inlet.clone(), outlet: outlet.clone() }).is_err() {
                    // Two connect packets at once: the first one stands.
                    return inlet.closed();
                }
                let connected = match socket.protocol {
                    ProtocolVersion::V3 => "0".to_owned(),
                    ProtocolVersion::V4 => format!("0{}", json!({"sid": socket.id.to_string()})),
                };
                // The queue of a new session is empty.
                let _ = outlet.send(&Frame::packet(connected));
                inlet.clone().opened();
                // `on_disconnect` may have come before there was anybody to tell.
                if socket.is_closed() {
                    inlet.closed();
                }
            }
            Err(NotAdmitted { code, message }) => {
                let refusal = match socket.protocol {
                    ProtocolVersion::V3 => json!({"code": code, "message": message}),
                    ProtocolVersion::V4 => json!({"message": message, "data": {"code": code}}),
                };
                // The session ends when the client leaves, or by the connect time-out.
                drop(socket.emit(format!("4{refusal}")));
            }
        }
    }

    fn event(&self, socket: &Arc<Socket<Slot>>, ack_id: Option<u64>, json: &str) {
        // Events before the client is let in are not answered: it has nobody to be.
        let Some(admitted) = socket.data.0.get() else { return };
        let reply = Reply::new(admitted.outlet.clone(), ack_id);
        match packet::parse_event(json) {
            Ok((name, payload)) => admitted.inlet.clone().event(&name, payload, reply),
            Err(packet::Malformed) => socket.close(DisconnectReason::PacketParsingError),
        }
    }
}

fn ticket_in_query(socket: &Socket<Slot>) -> Option<String> {
    let query = socket.req_parts.uri.query()?;
    // A ticket is base64url and dots: nothing in it is ever percent-encoded.
    query.split('&').find_map(|pair| pair.strip_prefix("ticket=")).map(str::to_owned)
}
