//! The upgrade: a session on long-polling goes over to a WebSocket.
//!
//! The client opens the WebSocket and sends a probe; the answer tells it that the way is free. It then waits until its last request
//! is answered, and asks to go over. Until then, and whenever this fails, the session stays on long-polling.

use std::{io, ops::ControlFlow, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time,
};

use super::{
    driver,
    stream::{Stream, Transport},
};
use crate::{
    Frame,
    codec::{
        engine::{self, Packet},
        websocket::{Assembler, Message},
    },
    session::Session,
};

/// More than a probe and what follows it: nothing else may come before the session goes over.
const BUFFER: usize = 256;

/// The one probe of a session; others may begin when it is dropped.
pub(super) struct Probing(Arc<Session>);

/// What a client says while it probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Probe,
    Upgrade,
    Other,
}

impl Probing {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self(session)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.0.layer().settings.upgrade_timeout
    }

    /// Ends when the session has gone over, or cannot.
    pub(super) async fn run(self, mut stream: Stream, bytes: Vec<u8>) {
        let mut inbound = Assembler::new();
        let talk = async {
            match &mut stream {
                Stream::Tcp(stream) => self.talk(stream, &mut inbound, bytes).await,
                Stream::Other(stream) => self.talk(stream, &mut inbound, bytes).await,
            }
        };
        let agreed = tokio::select! {
            agreed = talk => matches!(agreed, Ok(true)),
            () = time::sleep(self.timeout()) => false,
            () = self.0.over() => false,
        };
        if agreed && self.0.carry_by_websocket() {
            driver::spawn(stream, self.0.clone(), inbound, &mut []);
        }
    }

    /// Answers whether the client wants to go over.
    async fn talk(
        &self,
        stream: &mut impl Transport,
        inbound: &mut Assembler,
        bytes: Vec<u8>,
    ) -> io::Result<bool> {
        let mut bytes = bytes;
        let mut probed = false;
        loop {
            match next(stream, inbound, &mut bytes).await? {
                Said::Probe => {
                    stream.write_all(Frame::packet("3probe").bytes()).await?;
                    stream.flush().await?;
                    probed = true;
                    self.0.pause();
                }
                said => return Ok(probed && said == Said::Upgrade),
            }
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.polling(|polling| (polling.probe, polling.pausing) = (false, false));
    }
}

/// The next packet; `bytes` are taken first.
async fn next(stream: &mut impl Transport, inbound: &mut Assembler, bytes: &mut Vec<u8>) -> io::Result<Said> {
    loop {
        let mut said = None;
        let mut each = |message: Message<'_>| {
            said = Some(match message {
                Message::Text(text) => match engine::decode(text) {
                    Ok(Packet::Ping("probe")) => Said::Probe,
                    Ok(Packet::Upgrade) => Said::Upgrade,
                    Ok(_) | Err(_) => Said::Other,
                },
                Message::Binary | Message::Ping(_) | Message::Pong | Message::Close(_) => Said::Other,
            });
            ControlFlow::Break(())
        };
        inbound.feed(bytes, BUFFER, &mut each).map_err(io::Error::other)?;
        bytes.clear();
        if let Some(said) = said {
            return Ok(said);
        }
        bytes.resize(BUFFER, 0);
        let count = stream.read(bytes).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(count);
    }
}
