//! Packets from the client: connecting, events, acknowledgements.

use std::{ops::ControlFlow, sync::Arc};

use serde_json::{json, value::RawValue};

use super::{Carrier, Farewell, Newcomer, Session, SessionId, Stage};
use crate::{
    Frame, Handshake, Inlet, Reason, Refusal, Reply,
    clock::millis,
    codec::{
        Revision, engine,
        packet::{self, Incoming},
    },
};

impl Session {
    /// Takes an Engine.IO packet.
    pub(crate) fn packet(self: &Arc<Self>, packet: engine::Packet<'_>) {
        match packet {
            engine::Packet::Message(text) => self.message(text),
            // Who pings is settled by the revision.
            engine::Packet::Ping(data) if self.revision() == Revision::V3 => {
                self.heard();
                self.say(Frame::packet(&engine::pong(data)));
            }
            engine::Packet::Pong(_) if self.revision() == Revision::V4 => self.heard(),
            engine::Packet::Close => self.end(Reason::TransportClosed, Farewell::Say(Frame::close(None))),
            // The attachment of an event that was not taken.
            engine::Packet::Binary | engine::Packet::Noop => {}
            engine::Packet::Open
            | engine::Packet::Upgrade
            | engine::Packet::Ping(_)
            | engine::Packet::Pong(_) => {
                self.end_by_fault(Reason::Malformed, None);
            }
        }
    }

    /// Breaks where nothing more is to be taken from the client now.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.may_read() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn heard(&self) {
        let now = self.layer().clock.now();
        self.state.lock().heartbeat.answered(now);
    }

    fn message(self: &Arc<Self>, text: &str) {
        let Ok(incoming) = packet::decode(text) else {
            return self.end_by_fault(Reason::Malformed, None);
        };
        match incoming {
            Incoming::Connect { auth } => self.connect(Some(auth)),
            Incoming::Event { ack_id, json } => match packet::decode_event(json) {
                Ok(event) => self.pass_on(|inlet, reply| inlet.event(event, reply), ack_id),
                Err(_) => self.end_by_fault(Reason::Malformed, None),
            },
            Incoming::BinaryEvent { ack_id, .. } => {
                self.pass_on(|inlet, reply| inlet.binary_event(reply), ack_id)
            }
            Incoming::Ack { ack_id, json } => self.answered(ack_id, json),
            Incoming::BinaryAck => {}
            Incoming::Disconnect => self.disconnect(),
            Incoming::OtherNamespace { namespace, connect } => {
                if !connect {
                    return self.end_by_fault(Reason::Malformed, None);
                }
                let message = json!({"message": "Invalid namespace"});
                let frame = Frame::packet(&format!("44{namespace},{message}"));
                let _ = self.push(frame, self.layer().settings.outgoing_bytes);
            }
        }
    }

    /// Asks the gate; `auth` is what a client of protocol 5 brings.
    pub(super) fn connect(self: &Arc<Self>, auth: Option<&str>) {
        // Taken out meanwhile: the gate is asked without a lock, and a second request at the same time finds nothing.
        let newcomer = self.state.lock().newcomer.take();
        // A session has one connection: a second connect packet, also after the client has left, is not the protocol.
        let Some(newcomer) = newcomer else { return self.end_by_fault(Reason::Malformed, None) };
        let auth: Option<&RawValue> = auth.and_then(|auth| serde_json::from_str(auth).ok());
        let id = SessionId::random().to_string();
        match self.layer().gate.admit(Handshake { id: &id, auth, request: &newcomer.request }, self.clone()) {
            Ok(inlet) => {
                drop(newcomer);
                let connected = match self.revision() {
                    Revision::V3 => "40".to_owned(),
                    Revision::V4 => format!("40{}", json!({"sid": id})),
                };
                // The queue of a new session is nearly empty.
                self.say(Frame::packet(&connected));
                // Installed after that, so that the end, which another thread may bring, is never said before the beginning.
                inlet.clone().opened();
                if let Err(reason) = self.install(inlet.clone()) {
                    inlet.closed(reason);
                }
            }
            Err(refusal) => {
                let frame = Frame::packet(&format!("44{}", refusal_json(self.revision(), &refusal)));
                // The session ends when the client leaves, or when its time to connect is over.
                self.put_back(newcomer);
                self.say(frame);
            }
        }
    }

    /// From now on `inlet` takes the events.
    ///
    /// # Errors
    /// Why the session has ended meanwhile.
    fn install(&self, inlet: Arc<dyn Inlet>) -> Result<(), Reason> {
        let mut state = self.state.lock();
        if let Stage::Ended { reason, .. } = state.stage {
            return Err(reason);
        }
        state.inlet = Some(inlet);
        state.connect_by = None;
        Ok(())
    }

    fn put_back(&self, newcomer: Box<Newcomer>) {
        let mut state = self.state.lock();
        if !matches!(state.stage, Stage::Ended { .. }) {
            state.newcomer = Some(newcomer);
        }
    }

    fn pass_on(self: &Arc<Self>, give: impl FnOnce(Arc<dyn Inlet>, Reply), ack_id: Option<u64>) {
        let inlet = self.state.lock().inlet.clone();
        match inlet {
            Some(inlet) => give(inlet, Reply::new(self.clone(), ack_id)),
            // An event of one who was not let in.
            None => self.end_by_fault(Reason::Malformed, None),
        }
    }

    fn answered(&self, ack_id: u64, json: &str) {
        let Ok(args) = serde_json::from_str::<&RawValue>(json) else {
            return self.end_by_fault(Reason::Malformed, None);
        };
        if let Some(asked) = &mut self.state.lock().asked {
            asked.answer(ack_id, args);
        }
    }

    /// The client leaves the namespace. The session stays: clients hang up by themselves, and one that does not is closed like one
    /// that never connected.
    fn disconnect(&self) {
        let by = self.layer().clock.now() + millis(self.layer().settings.connect_timeout);
        let inlet = {
            let mut state = self.state.lock();
            state.connect_by = state.connect_by.or(Some(by));
            state.inlet.take()
        };
        if let Some(inlet) = inlet {
            self.look_again_at(by);
            inlet.closed(Reason::ClientLeft);
        }
    }

    /// Whether a WebSocket carries it.
    pub(crate) fn is_on_websocket(&self) -> bool {
        self.state.lock().carrier == Carrier::WebSocket
    }
}

fn refusal_json(revision: Revision, refusal: &Refusal) -> String {
    let data = refusal.data.as_deref().and_then(|data| serde_json::from_str::<&RawValue>(data).ok());
    match (revision, data) {
        (Revision::V3, Some(data)) => data.get().to_owned(),
        (Revision::V3, None) => json!(refusal.message).to_string(),
        (Revision::V4, Some(data)) => json!({"message": refusal.message, "data": data}).to_string(),
        (Revision::V4, None) => json!({"message": refusal.message}).to_string(),
    }
}
