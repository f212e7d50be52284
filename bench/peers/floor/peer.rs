//! One connection.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use anyhow::bail;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

use bench::{
    inbound::Inbound,
    packet::{self, Packet},
    websocket::{self, HANDSHAKE_MAX, Opcode, Side},
};

use crate::hub::{Hub, Identity};

const READ_BYTES: usize = 64 << 10;
const PING_INTERVAL_MS: u64 = 25_000;
const PING_TIMEOUT_MS: u64 = 20_000;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The outgoing side of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    write: OwnedWriteHalf,
    outgoing: Mutex<Vec<u8>>,
    wake: Notify,
}

impl Peer {
    /// Queues one frame. Answers whether it is the first one: then its task is to be woken, see [`Due`].
    pub(crate) fn queue(&self, frame: &[u8]) -> bool {
        let mut outgoing = self.outgoing.lock();
        outgoing.extend_from_slice(frame);
        outgoing.len() == frame.len()
    }

    fn say(&self, text: &str) {
        websocket::write(&mut self.outgoing.lock(), Side::Server, Opcode::Text, text.as_bytes());
        self.wake.notify_one();
    }

    /// Writes what is queued; answers whether all of it has left.
    fn flush(&self) -> io::Result<bool> {
        let mut outgoing = self.outgoing.lock();
        let mut written = 0;
        while written < outgoing.len() {
            match self.write.try_write(&outgoing[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if written == outgoing.len() {
            *outgoing = Vec::new();
            return Ok(true);
        }
        outgoing.drain(..written);
        Ok(false)
    }
}

/// The connections on which something is due. They are woken only once all that was read has been handed out, so that it leaves
/// in one write: woken at once, another thread would write the first message alone.
#[derive(Debug, Default)]
pub(crate) struct Due(Vec<Arc<Peer>>);

impl Due {
    pub(crate) fn add(&mut self, peer: &Arc<Peer>) {
        self.0.push(peer.clone());
    }

    fn wake(self) {
        self.0.iter().for_each(|peer| peer.wake.notify_one());
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve(mut stream: TcpStream, hub: Arc<Hub>) {
    if shake_hands(&mut stream).await.is_err() {
        return;
    }
    let (read, write) = stream.into_split();
    let peer = Arc::new(Peer { write, outgoing: Mutex::default(), wake: Notify::new() });
    peer.say(&packet::open("floor", PING_INTERVAL_MS, PING_TIMEOUT_MS));
    let mut connection = Connection { read, inbound: Inbound::default(), peer, identity: None };
    connection.run(&hub).await;
    if let Some(identity) = &connection.identity {
        hub.leave(identity);
    }
}

struct Connection {
    read: OwnedReadHalf,
    inbound: Inbound,
    peer: Arc<Peer>,
    identity: Option<Identity>,
}

impl Connection {
    /// Ends with the connection, for whatever reason.
    async fn run(&mut self, hub: &Arc<Hub>) {
        let peer = self.peer.clone();
        while let Ok(all_left) = peer.flush() {
            let served = tokio::select! {
                read = poll_fn(|context| self.poll(context, hub)) => read,
                () = peer.wake.notified() => Ok(()),
                writable = peer.write.writable(), if !all_left => writable,
            };
            if served.is_err() {
                return;
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, hub: &Arc<Hub>) -> Poll<io::Result<()>> {
        READ.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.read).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let Self { inbound, peer, identity, .. } = self;
            let mut due = Due::default();
            let take = |opcode, payload: &[u8]| {
                if opcode == Opcode::Text {
                    take(peer, identity, hub, payload, &mut due);
                }
            };
            let fed = inbound.feed(buffer.filled_mut(), take);
            due.wake();
            Poll::Ready(fed.map_err(io::Error::other))
        })
    }
}

fn take(peer: &Arc<Peer>, identity: &mut Option<Identity>, hub: &Hub, text: &[u8], due: &mut Due) {
    match (Packet::read(text), identity) {
        (Packet::Connect(json), identity @ None) => {
            if let Ok(auth) = serde_json::from_slice(json) {
                *identity = Some(hub.enter(peer.clone(), auth));
                peer.say("40{\"sid\":\"floor\"}");
            } else {
                peer.say("44{\"message\":\"expected auth: {user, groups}\"}");
            }
        }
        (Packet::Event(ack, event), Some(identity)) => {
            let ok = hub.send(identity, event, due);
            if let Some(ack) = ack {
                peer.say(&format!("43{ack}[{{\"ok\":{ok}}}]"));
            }
        }
        (Packet::Ping, _) => peer.say("3"),
        _ => {}
    }
}

async fn shake_hands(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HANDSHAKE_MAX || stream.read_buf(&mut head).await? == 0 {
            bail!("no handshake");
        }
    }
    let Some(answer) = websocket::answer(&String::from_utf8_lossy(&head)) else { bail!("not a WebSocket") };
    tokio::io::AsyncWriteExt::write_all(stream, answer.as_bytes()).await?;
    Ok(())
}
