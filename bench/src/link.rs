//! One connection to a Socket.IO server.
//!
//! All links of a process live on one thread and read into one buffer of it, so an idle one owns no buffer. What is due on
//! a link is gathered and leaves in one write, as soon as the task that queued it has let go.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

use crate::{
    inbound::Inbound,
    packet::{PONG, Packet},
    target::Seat,
    websocket::{self, Opcode, Side},
};

const READ_BYTES: usize = 64 << 10;
/// How long a server may take from the TCP connection to its last word of the handshake.
const CONNECT_TIME: Duration = Duration::from_secs(30);

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The outgoing side of one connection.
#[derive(Debug)]
pub struct Link {
    write: OwnedWriteHalf,
    outgoing: RefCell<Vec<u8>>,
    wake: Notify,
    next_ack: Cell<u64>,
}

/// The incoming side of one connection; whoever holds it calls [`Incoming::drive`].
#[derive(Debug)]
pub struct Incoming {
    read: OwnedReadHalf,
    inbound: Inbound,
    /// What came in one read with the end of the handshake.
    early: Vec<Vec<u8>>,
}

impl Link {
    /// Connects a user: TCP, WebSocket, Engine.IO, Socket.IO, and the server's `ready` where the seat waits for one.
    ///
    /// # Errors
    /// What the server said instead, or that it said nothing in time.
    pub async fn connect(seat: &Seat) -> anyhow::Result<(Rc<Self>, Incoming)> {
        let connecting = tokio::time::timeout(CONNECT_TIME, Self::handshake(seat)).await;
        connecting
            .context("no answer in time")
            .flatten()
            .with_context(|| format!("connecting {} to {}", seat.user, seat.address))
    }

    async fn handshake(seat: &Seat) -> anyhow::Result<(Rc<Self>, Incoming)> {
        let stream = TcpStream::connect(&seat.address).await?;
        stream.set_nodelay(true)?;
        // Reset at the end: thousands of ports that wait for a minute would be in the way of the next servers.
        stream.set_zero_linger()?;
        let (read, write) = stream.into_split();
        let link = Rc::new(Self {
            write,
            outgoing: RefCell::default(),
            wake: Notify::new(),
            next_ack: Cell::new(0),
        });
        let mut incoming = Incoming { read, inbound: Inbound::default(), early: Vec::new() };

        let (request, accept) = websocket::ask(&seat.address, "/socket.io/?EIO=4&transport=websocket");
        link.outgoing.borrow_mut().extend_from_slice(request.as_bytes());
        link.flush_all().await?;
        incoming.upgraded(&accept).await?;
        incoming.expect(&link, |packet| matches!(packet, Packet::Open), "the engine's handshake").await?;
        link.send_text(format!("40{}", seat.auth).as_bytes());
        link.flush_all().await?;
        incoming.expect(&link, |packet| matches!(packet, Packet::Connect(_)), "the connection").await?;
        if seat.waits_for_ready {
            let ready = |packet: &Packet<'_>| matches!(packet, Packet::Event(None, json) if json.starts_with(b"[\"ready\","));
            incoming.expect(&link, ready, "`ready`").await?;
        }
        Ok((link, incoming))
    }

    /// Queues an event with one argument, which is JSON; answers the number that its acknowledgement will have.
    pub fn emit(&self, name: &str, json: &str) -> u64 {
        let ack = self.next_ack.get();
        self.next_ack.set(ack + 1);
        self.send_text(format!("42{ack}[\"{name}\",{json}]").as_bytes());
        ack
    }

    fn send_text(&self, payload: &[u8]) {
        websocket::write(&mut self.outgoing.borrow_mut(), Side::Client, Opcode::Text, payload);
        self.wake.notify_one();
    }

    /// Writes what is queued; answers whether all of it has left.
    fn flush(&self) -> io::Result<bool> {
        let mut outgoing = self.outgoing.borrow_mut();
        let mut written = 0;
        while written < outgoing.len() {
            match self.write.try_write(&outgoing[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if written == outgoing.len() {
            // An idle link owns no buffer.
            *outgoing = Vec::new();
            return Ok(true);
        }
        outgoing.drain(..written);
        Ok(false)
    }

    async fn flush_all(&self) -> io::Result<()> {
        while !self.flush()? {
            self.write.writable().await?;
        }
        Ok(())
    }
}

impl Incoming {
    /// Serves the connection until it ends: hands every packet but pings to `take`, and writes what was queued on `link`.
    /// Answers why it ended.
    pub async fn drive(mut self, link: Rc<Link>, mut take: impl FnMut(Packet<'_>)) -> io::Error {
        for text in std::mem::take(&mut self.early) {
            serve(&link, Opcode::Text, &text, &mut take);
        }
        loop {
            let all_left = match link.flush() {
                Ok(all_left) => all_left,
                Err(error) => return error,
            };
            let served = tokio::select! {
                read = self.read(|opcode, payload| serve(&link, opcode, payload, &mut take)) => read,
                () = link.wake.notified() => Ok(()),
                writable = link.write.writable(), if !all_left => writable,
            };
            if let Err(error) = served {
                return error;
            }
        }
    }

    /// Waits for bytes and hands out the frames that they complete.
    async fn read(&mut self, mut each: impl FnMut(Opcode, &[u8])) -> io::Result<()> {
        poll_fn(|context| self.poll(context, &mut each)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        each: &mut impl FnMut(Opcode, &[u8]),
    ) -> Poll<io::Result<()>> {
        READ.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.read).poll_read(context, &mut buffer))?;
            let bytes = buffer.filled_mut();
            if bytes.is_empty() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed by the server",
                )));
            }
            Poll::Ready(self.inbound.feed(bytes, each).map_err(io::Error::other))
        })
    }

    /// Reads the head of the answer to the handshake.
    async fn upgraded(&mut self, accept: &str) -> anyhow::Result<()> {
        let mut head = Vec::new();
        loop {
            self.read.readable().await?;
            match self.read.try_read_buf(&mut head) {
                Ok(0) => bail!("closed during the WebSocket handshake"),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                anyhow::ensure!(head.len() < websocket::HANDSHAKE_MAX, "an answer without end");
                continue;
            };
            let text = String::from_utf8_lossy(&head[..end]).into_owned();
            anyhow::ensure!(websocket::accepts(&text, accept), "not a WebSocket: {text}");
            let early = &mut self.early;
            self.inbound.feed(&mut head[end + 4..], |_, payload| early.push(payload.to_vec()))?;
            return Ok(());
        }
    }

    /// Emits an event and waits for its acknowledgement, the JSON array of its arguments. For before [`Incoming::drive`], while
    /// nothing else is told.
    ///
    /// # Errors
    /// What the server said instead.
    pub async fn ask(&mut self, link: &Link, name: &str, json: &str) -> anyhow::Result<Vec<u8>> {
        let ack = link.emit(name, json);
        link.flush_all().await?;
        let answer = RefCell::default();
        let answers = |packet: &Packet<'_>| match packet {
            Packet::Ack(number, arguments) if *number == ack => {
                answer.replace(arguments.to_vec());
                true
            }
            _ => false,
        };
        self.expect(link, answers, "an acknowledgement").await?;
        Ok(answer.into_inner())
    }

    /// Waits for one packet; others that come before it mean that it will not come.
    async fn expect(
        &mut self,
        link: &Link,
        wanted: impl Fn(&Packet<'_>) -> bool,
        what: &str,
    ) -> anyhow::Result<()> {
        loop {
            while !self.early.is_empty() {
                let text = self.early.remove(0);
                match Packet::read(&text) {
                    packet if wanted(&packet) => return Ok(()),
                    Packet::Refused(json) => bail!("refused: {}", String::from_utf8_lossy(json)),
                    // Some servers send the first ping at once.
                    Packet::Ping => {
                        link.send_text(PONG);
                        link.flush_all().await?;
                    }
                    Packet::Other => {}
                    _ => bail!("expected {what}, got {}", String::from_utf8_lossy(&text)),
                }
            }
            let mut came = Vec::new();
            self.read(|_, payload| came.push(payload.to_vec())).await?;
            self.early = came;
        }
    }
}

fn serve(link: &Link, opcode: Opcode, payload: &[u8], take: &mut impl FnMut(Packet<'_>)) {
    match opcode {
        Opcode::Text => match Packet::read(payload) {
            Packet::Ping => link.send_text(PONG),
            packet => take(packet),
        },
        Opcode::Ping => {
            websocket::write(&mut link.outgoing.borrow_mut(), Side::Client, Opcode::Pong, payload);
            link.wake.notify_one();
        }
        Opcode::Close => take(Packet::Close),
        Opcode::Binary | Opcode::Pong => {}
    }
}
