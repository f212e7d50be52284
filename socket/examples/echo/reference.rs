//! The seam on engineioxide, the engine of socketioxide: what the layer of this crate is measured against, and judged beside.
//!
//! Not on socketioxide itself: its refusals carry a message only, it encodes an event again for each who gets it, and it runs the
//! handlers of a connection at the same time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use engineioxide::{
    DisconnectReason, Socket, TransportType, config::EngineIoConfig, handler::EngineIoHandler,
    service::EngineIoService,
};
use engineioxide_core::{ProtocolVersion, Str};
use parking_lot::Mutex;
use serde_json::{json, value::RawValue};
use socket::{
    Backlog, Frame, Gate, Handshake, HandshakeRequest, Inlet, Outlet, Reason, Reply, Settings, Unanswered,
    codec::{
        Revision,
        packet::{self, Incoming},
    },
};
use tokio::{
    sync::{mpsc::error::TrySendError, oneshot},
    time,
};

/// How often a full queue is looked at: engineioxide does not tell when there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// The most frames that wait to be sent to one connection: engineioxide counts frames, not bytes. As many as a client of the tests
/// has under way at once, with room for heartbeats.
const QUEUE: usize = 4_096;

/// The tower service.
pub(crate) fn service(gate: Arc<dyn Gate>, settings: &Settings) -> EngineIoService<impl EngineIoHandler> {
    let config = EngineIoConfig::builder()
        .req_path(settings.path.trim_end_matches('/').to_owned())
        .ping_interval(settings.ping_interval)
        .ping_timeout(settings.ping_timeout)
        .max_buffer_size(QUEUE)
        .max_payload(settings.max_packet_bytes as u64)
        .ws_max_message_size(settings.max_packet_bytes)
        .ws_max_frame_size(settings.max_packet_bytes)
        .ws_read_buffer_size(512)
        .transports([TransportType::Polling, TransportType::Websocket])
        .build();
    let engine = Engine { gate, connect_timeout: settings.connect_timeout };
    EngineIoService::with_config(Arc::new(engine), config)
}

struct Engine {
    gate: Arc<dyn Gate>,
    connect_timeout: Duration,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// What belongs to one session; empty until the client is let in.
#[derive(Default)]
struct Slot(OnceLock<(Arc<dyn Inlet>, Arc<EngineOutlet>)>);

impl EngineIoHandler for Engine {
    type Data = Slot;

    fn on_connect(self: Arc<Self>, socket: Arc<Socket<Slot>>) {
        let timeout = self.connect_timeout;
        let waiting = Arc::downgrade(&socket);
        tokio::spawn(async move {
            time::sleep(timeout).await;
            if let Some(socket) = waiting.upgrade().filter(|socket| socket.data.0.get().is_none()) {
                socket.close(DisconnectReason::TransportClose);
            }
        });
        if socket.protocol == ProtocolVersion::V3 {
            self.connect(&socket, None);
        }
    }

    fn on_disconnect(&self, socket: Arc<Socket<Slot>>, reason: DisconnectReason) {
        if let Some((inlet, _)) = socket.data.0.get() {
            inlet.clone().closed(match reason {
                DisconnectReason::HeartbeatTimeout => Reason::PingTimeout,
                DisconnectReason::PacketParsingError => Reason::Malformed,
                _ => Reason::TransportClosed,
            });
        }
    }

    fn on_message(self: &Arc<Self>, text: Str, socket: Arc<Socket<Slot>>) {
        let malformed = || socket.close(DisconnectReason::PacketParsingError);
        let admitted = socket.data.0.get();
        let reply =
            |ack_id| admitted.map(|(inlet, outlet)| (inlet.clone(), Reply::new(outlet.clone(), ack_id)));
        match packet::decode(text.as_str()) {
            Ok(Incoming::Connect { auth }) if admitted.is_none() => self.connect(&socket, Some(auth)),
            Ok(Incoming::Event { ack_id, json }) => match (packet::decode_event(json), reply(ack_id)) {
                (Ok(event), Some((inlet, reply))) => inlet.event(event, reply),
                _ => malformed(),
            },
            Ok(Incoming::BinaryEvent { ack_id, .. }) => match reply(ack_id) {
                Some((inlet, reply)) => inlet.binary_event(reply),
                None => malformed(),
            },
            Ok(Incoming::Ack { ack_id, json }) => {
                let asked = admitted.and_then(|(_, outlet)| outlet.asked.lock().open.remove(&ack_id));
                if let (Some(asked), Ok(args)) = (asked, serde_json::from_str::<Box<RawValue>>(json)) {
                    drop(asked.send(args));
                }
            }
            Ok(Incoming::Disconnect) => socket.close(DisconnectReason::TransportClose),
            Ok(Incoming::OtherNamespace { namespace, connect: true }) => {
                let message = json!({"message": "Invalid namespace"});
                drop(socket.emit(format!("4{namespace},{message}")));
            }
            Ok(Incoming::BinaryAck) => {}
            Ok(Incoming::Connect { .. } | Incoming::OtherNamespace { .. }) | Err(_) => malformed(),
        }
    }

    fn on_binary(self: &Arc<Self>, _data: Bytes, _socket: Arc<Socket<Slot>>) {}
}

impl Engine {
    fn connect(&self, socket: &Arc<Socket<Slot>>, auth: Option<&str>) {
        let auth: Option<&RawValue> = auth.and_then(|auth| serde_json::from_str(auth).ok());
        let request = HandshakeRequest {
            revision: if socket.protocol == ProtocolVersion::V3 { Revision::V3 } else { Revision::V4 },
            query: socket.req_parts.uri.query().unwrap_or_default().into(),
            headers: socket.req_parts.headers.clone(),
            peer: None,
        };
        let id = format!("c{}", socket.id);
        let outlet = Arc::new(EngineOutlet {
            socket: socket.clone(),
            waiting: Arc::default(),
            asked: Mutex::default(),
        });
        match self.gate.admit(Handshake { id: &id, auth, request: &request }, outlet.clone()) {
            Ok(inlet) => {
                if socket.data.0.set((inlet.clone(), outlet)).is_err() {
                    return inlet.closed(Reason::Malformed);
                }
                let connected = match request.revision {
                    Revision::V3 => "0".to_owned(),
                    Revision::V4 => format!("0{}", json!({"sid": id})),
                };
                drop(socket.emit(connected));
                inlet.opened();
            }
            Err(refusal) => {
                let data = refusal.data.unwrap_or_else(|| "null".to_owned());
                let message = json!(refusal.message);
                drop(socket.emit(format!("4{{\"message\":{message},\"data\":{data}}}")));
            }
        }
    }
}

struct EngineOutlet {
    socket: Arc<Socket<Slot>>,
    waiting: Arc<Mutex<VecDeque<Frame>>>,
    asked: Mutex<Asked>,
}

/// The next number, and who waits for which answer.
#[derive(Default)]
struct Asked {
    last: u64,
    open: BTreeMap<u64, oneshot::Sender<Box<RawValue>>>,
}

/// Queues a frame, but leaves a place for a ping: a ping that finds none ends the connection.
fn queue(socket: &Socket<Slot>, frame: &Frame) -> Result<(), Backlog> {
    let backlog = |error| match error {
        TrySendError::Full(()) => Backlog::Full,
        TrySendError::Closed(()) => Backlog::Closed,
    };
    let place = socket.reserve().map_err(backlog)?;
    let _for_a_ping = socket.reserve().map_err(backlog)?;
    // Without the `4` of Engine.IO, which is written by the engine.
    place.emit(Str::from(frame.text().unwrap_or_default().get(1..).unwrap_or_default().to_owned()));
    Ok(())
}

async fn flush(socket: Arc<Socket<Slot>>, waiting: Arc<Mutex<VecDeque<Frame>>>) {
    loop {
        time::sleep(LOOK_AGAIN).await;
        let mut waiting = waiting.lock();
        while let Some(frame) = waiting.front() {
            match queue(&socket, frame) {
                Ok(()) => drop(waiting.pop_front()),
                Err(Backlog::Full) => break,
                Err(Backlog::Closed) => return waiting.clear(),
            }
        }
        if waiting.is_empty() {
            return;
        }
    }
}

#[async_trait]
impl Outlet for EngineOutlet {
    fn send(&self, frame: &Frame) -> Result<(), Backlog> {
        queue(&self.socket, frame)
    }

    fn acknowledge(&self, ack_id: u64, args: &str) {
        let frame = Frame::acknowledgement(ack_id, args);
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() && queue(&self.socket, &frame) != Err(Backlog::Full) {
            return;
        }
        waiting.push_back(frame);
        if waiting.len() == 1 {
            tokio::spawn(flush(self.socket.clone(), self.waiting.clone()));
        }
    }

    async fn ask(&self, name: &str, args: &str) -> Result<Box<RawValue>, Unanswered> {
        let (sender, answer) = oneshot::channel();
        let ack_id = {
            let mut asked = self.asked.lock();
            asked.last += 1;
            let ack_id = asked.last;
            asked.open.insert(ack_id, sender);
            ack_id
        };
        queue(&self.socket, &Frame::question(ack_id, name, args)).map_err(|_| Unanswered)?;
        answer.await.map_err(|_| Unanswered)
    }

    async fn writable(&self) -> Result<(), Backlog> {
        loop {
            if self.socket.is_closed() {
                return Err(Backlog::Closed);
            }
            let (one, another) = (self.socket.reserve(), self.socket.reserve());
            if one.is_ok() && another.is_ok() {
                return Ok(());
            }
            drop((one, another));
            time::sleep(LOOK_AGAIN).await;
        }
    }

    fn close(&self) {
        let socket = self.socket.clone();
        drop(socket.emit("1"));
        tokio::spawn(async move {
            drop(time::timeout(Duration::from_secs(2), socket.closed()).await);
            socket.close(DisconnectReason::TransportClose);
        });
    }
}
