//! Carries a session over a WebSocket: the one task of a connection.

use std::{
    future::Future,
    io::{self, IoSlice},
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::ReadBuf;

use super::{
    buffer,
    stream::{Stream, Transport},
};
use crate::{
    Frame, Reason,
    codec::{
        engine,
        websocket::{Assembler, Message, Violation},
    },
    session::{Batch, Farewell, Session, Stage, Taken},
};

/// The most frames that one write takes: what a system takes at once is 1,024, and more than this brings nothing.
const FRAMES_A_WRITE: usize = 64;
/// How often one turn reads before others have theirs.
const READS_A_TURN: usize = 8;
/// The most messages that one turn takes: one read may hold hundreds of them, and others would wait for all.
const MESSAGES_A_TURN: usize = 64;

/// Starts the task that carries `session`, whose client has sent `bytes` already.
pub(super) fn spawn(stream: Stream, session: Arc<Session>, mut inbound: Assembler, bytes: &mut [u8]) {
    let held = take(&session, &mut inbound, bytes, &mut { MESSAGES_A_TURN });
    match stream {
        Stream::Tcp(stream) => spawn_on(stream, session, inbound, held),
        Stream::Other(stream) => spawn_on(stream, session, inbound, held),
    }
}

fn spawn_on<T: Transport>(stream: T, session: Arc<Session>, inbound: Assembler, held: bool) {
    let batch = Batch::new();
    tokio::spawn(Driver {
        stream,
        session,
        inbound,
        held,
        batch,
        begun: 0,
        blocked: false,
        said_goodbye: false,
    });
}

struct Driver<T: Transport> {
    stream: T,
    session: Arc<Session>,
    inbound: Assembler,
    /// Whether `inbound` may hold whole messages.
    held: bool,
    /// What is being written.
    batch: Batch,
    /// How many bytes of its first frame are written.
    begun: usize,
    /// Whether the last write found no room.
    blocked: bool,
    /// Whether the last frame was sent and nothing more follows.
    said_goodbye: bool,
}

impl<T: Transport> Future for Driver<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        // A transport that fails is over, and ends the session with it.
        driver.turn(cx).unwrap_or(Poll::Ready(()))
    }
}

/// Whatever ends the task ends the session, also a panic above.
impl<T: Transport> Drop for Driver<T> {
    fn drop(&mut self) {
        self.session.end(Reason::TransportClosed, Farewell::Cut);
    }
}

impl<T: Transport> Driver<T> {
    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let mut messages = MESSAGES_A_TURN;
        for _ in 0..READS_A_TURN {
            let (taken, flushed) = self.write(cx)?;
            match taken.stage {
                Stage::Open => {}
                Stage::Leaving { .. } if flushed => {
                    self.session.end(Reason::ServerClosed, Farewell::Say(Frame::close(None)));
                    continue;
                }
                Stage::Leaving { .. } => return Ok(Poll::Pending),
                stage @ Stage::Ended { .. } => return self.linger(cx, stage, flushed),
            }
            if !taken.may_read {
                return Ok(Poll::Pending);
            }
            if self.read(cx, &mut messages)?.is_pending() {
                // What was read may have been answered at once: then the session has woken this task.
                return Ok(Poll::Pending);
            }
            if messages == 0 {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Writes what waits. Answers whether all of it is gone.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<(Taken, bool)> {
        loop {
            let taken = self.session.take_to_write(&mut self.batch, cx);
            if self.batch.is_empty() {
                // TLS keeps what it could not pass on until it is told to.
                return match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Ready(Ok(())) => Ok((taken, true)),
                    Poll::Ready(Err(error)) => Err(error),
                    Poll::Pending => Ok((taken, false)),
                };
            }
            // Cut off: what was not written never will be.
            if self.is_over(taken.stage) {
                return Ok((taken, false));
            }
            if self.write_batch(cx)?.is_pending() {
                return Ok((taken, false));
            }
        }
    }

    fn write_batch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut done = 0;
        while done < self.batch.len() {
            let mut slices = [IoSlice::new(&[]); FRAMES_A_WRITE];
            let waiting = self.batch.get(done..).unwrap_or_default();
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(waiting) {
                let from = if count == 0 { self.begun } else { 0 };
                *slice = IoSlice::new(frame.bytes().get(from..).unwrap_or_default());
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(mut written)) => {
                    let mut cost = 0;
                    for frame in waiting {
                        let rest = frame.bytes().len() - self.begun;
                        if written < rest {
                            break;
                        }
                        written -= rest;
                        cost += frame.cost();
                        self.begun = 0;
                        done += 1;
                    }
                    self.begun += written;
                    self.session.written(cost, std::mem::take(&mut self.blocked));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.blocked = true;
                    self.batch.drain(..done);
                    return Poll::Pending;
                }
            }
        }
        self.batch = Batch::new();
        Poll::Ready(Ok(()))
    }

    /// Reads once, and passes on what is whole, at most so many messages; takes off those that it has passed on.
    fn read(&mut self, cx: &mut Context<'_>, messages: &mut usize) -> io::Result<Poll<()>> {
        if self.held {
            self.held = take(&self.session, &mut self.inbound, &mut [], messages);
            return Ok(Poll::Ready(()));
        }
        buffer::with(|buffer| {
            let mut unread = ReadBuf::new(buffer);
            match Pin::new(&mut self.stream).poll_read(cx, &mut unread) {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Ready(Ok(())) if unread.filled().is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Ok(())) => {
                    self.held = take(&self.session, &mut self.inbound, unread.filled_mut(), messages);
                    Ok(Poll::Ready(()))
                }
            }
        })
    }

    /// The session has ended. The client may still have to read the last words, and hang up: who closes first while something
    /// unread has arrived would take them back.
    fn linger(&mut self, cx: &mut Context<'_>, stage: Stage, flushed: bool) -> io::Result<Poll<()>> {
        if self.is_over(stage) {
            return Ok(Poll::Ready(()));
        }
        if !flushed {
            return Ok(Poll::Pending);
        }
        if !self.said_goodbye {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Ready(_) => self.said_goodbye = true,
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        buffer::with(|buffer| {
            loop {
                let mut unread = ReadBuf::new(buffer);
                match Pin::new(&mut self.stream).poll_read(cx, &mut unread) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(Ok(())) if !unread.filled().is_empty() => {}
                    Poll::Ready(_) => return Ok(Poll::Ready(())),
                }
            }
        })
    }

    fn is_over(&self, stage: Stage) -> bool {
        matches!(stage, Stage::Ended { linger_until, .. } if linger_until <= self.session.layer().clock.now())
    }
}

/// Passes on what is whole, at most so many messages, and takes off those that it has passed on; answers whether whole messages
/// may be held back.
fn take(session: &Arc<Session>, inbound: &mut Assembler, bytes: &mut [u8], messages: &mut usize) -> bool {
    let mut held = false;
    let mut each = |message: Message<'_>| {
        *messages = messages.saturating_sub(1);
        let flow = receive(session, &message);
        held = flow.is_break() || *messages == 0;
        if held { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if let Err(violation) = inbound.feed(bytes, session.max_packet_bytes(), &mut each) {
        let reason = match violation {
            Violation::TooLarge => Reason::TooLarge,
            Violation::Protocol(_) | Violation::NotUtf8 => Reason::Malformed,
        };
        session.end_by_fault(reason, Some(violation.close_code()));
    }
    held
}

fn receive(session: &Arc<Session>, message: &Message<'_>) -> ControlFlow<()> {
    match message {
        Message::Text(text) => match engine::decode(text) {
            Ok(packet) => session.packet(packet),
            Err(_) => session.end_by_fault(Reason::Malformed, None),
        },
        // The attachment of an event that was not taken.
        Message::Binary | Message::Pong => {}
        Message::Ping(data) => session.say(Frame::pong(data)),
        Message::Close(code) => session.end(Reason::TransportClosed, Farewell::Say(Frame::close(*code))),
    }
    session.flow()
}
