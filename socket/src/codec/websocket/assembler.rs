//! Bytes as they arrive, put together into messages.

use std::ops::ControlFlow;

use bytes::{Buf, BytesMut};
use tungstenite::protocol::frame::coding::CloseCode;

use super::{
    MAX_CONTROL, Message, Violation,
    head::{Head, Kind, unmask},
};

/// What is shorter than this can lack some of a head or of a control frame; with as much, one of them is whole.
const SHORT: usize = 6 + MAX_CONTROL;
const _: () = assert!(SHORT >= Head::MAX_SIZE);

/// What [`Assembler::feed`] calls for every message.
type Each<'a> = dyn FnMut(Message<'_>) -> ControlFlow<()> + 'a;

/// Puts the frames of one client together into messages.
///
/// It is one pointer, and null while nothing is half-read: an idle connection costs eight bytes here.
#[derive(Debug, Default)]
pub struct Assembler {
    kept: Option<Box<Kept>>,
}

/// What is half-read.
#[derive(Debug, Default)]
struct Kept {
    /// As it arrived: less than [`SHORT`] bytes of a head or of a control frame, or all that a break left.
    raw: BytesMut,
    /// A data message that has begun. Some of a frame in it is missing only while `raw` is empty.
    message: Option<Begun>,
}

/// A data message of which something is there.
#[derive(Debug)]
struct Begun {
    /// Only text is kept.
    text: Option<Text>,
    /// Bytes of payload that the heads so far announced.
    announced: usize,
    /// The frame that is being read.
    frame: Option<Frame>,
}

/// Unmasked bytes of a text message; those before `valid` are UTF-8, and what follows may become it.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    valid: usize,
}

#[derive(Debug)]
struct Frame {
    /// Bytes of payload that have not come yet.
    missing: usize,
    /// Turned so that its first byte is for the next byte of payload.
    mask: [u8; 4],
    last: bool,
    /// The most bytes that the message can have, as far as the heads tell.
    room: usize,
}

/// How far a run over some bytes came.
struct Run {
    /// Bytes that are done with. Those behind them are untouched.
    taken: usize,
    flow: ControlFlow<()>,
}

impl Assembler {
    /// Nothing is half-read.
    pub const fn new() -> Self {
        Self { kept: None }
    }

    /// Takes `bytes` and calls `each` for every whole message, in order. Payloads are unmasked in place: afterwards `bytes`
    /// are of no use. A frame that lies whole in them is neither copied nor allocated for.
    ///
    /// If `each` breaks, what is left is kept and is taken first at the next call, also one with empty `bytes`. Who breaks
    /// should call with empty bytes until no break comes before it reads on: what breaks leave is not bounded here.
    ///
    /// Otherwise at most `max_message` bytes of payload are kept, and 130 more of a half head or control frame between
    /// fragments. A head that announces more is refused before its payload is kept; memory follows what has
    /// arrived, not what is announced. Nothing is kept between messages.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]; the messages before it have been given to `each`. What was kept is gone, and the assembler
    /// must not be fed again: it no longer knows where a frame begins.
    pub fn feed(
        &mut self,
        bytes: &mut [u8],
        max_message: usize,
        each: &mut Each<'_>,
    ) -> Result<(), Violation> {
        let outcome = self.take(bytes, max_message, each);
        if outcome.is_err() || self.kept.as_ref().is_some_and(|kept| kept.is_empty()) {
            self.kept = None;
        }
        outcome
    }

    /// Nothing is half-read or left by a break, so nothing is allocated.
    pub fn is_empty(&self) -> bool {
        self.kept.is_none()
    }

    /// Bytes of buffers that are held, with what is spare in them.
    pub fn kept(&self) -> usize {
        let kept = self.kept.as_ref();
        let text = kept.and_then(|kept| kept.message.as_ref()?.text.as_ref());
        kept.map_or(0, |kept| kept.raw.capacity()) + text.map_or(0, |text| text.bytes.capacity())
    }

    fn take(&mut self, bytes: &mut [u8], max_message: usize, each: &mut Each<'_>) -> Result<(), Violation> {
        let mut raw = self.kept.as_mut().map(|kept| std::mem::take(&mut kept.raw)).unwrap_or_default();
        let mut bytes = bytes;
        if !raw.is_empty() {
            let run = self.run(&mut raw, max_message, each)?;
            raw.advance(run.taken);
            if run.flow.is_break() {
                raw.extend_from_slice(bytes);
                self.keep(raw);
                return Ok(());
            }
        }
        if !raw.is_empty() {
            // A head or a control frame lacks some bytes. It is completed aside; `bytes` stay as they are.
            let half = raw.len();
            let more = bytes.len().min(SHORT.saturating_sub(half));
            let mut aside = [0; SHORT];
            let aside = &mut aside[..half + more];
            aside[..half].copy_from_slice(&raw);
            aside[half..].copy_from_slice(&bytes[..more]);
            let run = self.run(aside, max_message, each)?;
            if run.taken == 0 {
                self.keep(BytesMut::from(&*aside));
                return Ok(());
            }
            // Something was completed, so all of the half is taken.
            bytes = &mut bytes[run.taken - half..];
            if run.flow.is_break() {
                self.keep(BytesMut::from(&*bytes));
                return Ok(());
            }
        }
        let run = self.run(bytes, max_message, each)?;
        self.keep(BytesMut::from(&bytes[run.taken..]));
        Ok(())
    }

    fn keep(&mut self, raw: BytesMut) {
        if !raw.is_empty() {
            self.kept.get_or_insert_default().raw = raw;
        }
    }

    /// Takes whole frames and what has come of a data frame. Without a break it leaves less than [`SHORT`] bytes.
    fn run(&mut self, bytes: &mut [u8], max_message: usize, each: &mut Each<'_>) -> Result<Run, Violation> {
        let mut run = Run { taken: 0, flow: ControlFlow::Continue(()) };
        while let Some(step) = self.step(&mut bytes[run.taken..], max_message, each)? {
            run = Run { taken: run.taken + step.taken, flow: step.flow };
            if run.flow.is_break() {
                break;
            }
        }
        Ok(run)
    }

    /// The next frame, or some of it; `None` if more bytes must come first.
    fn step(
        &mut self,
        bytes: &mut [u8],
        max_message: usize,
        each: &mut Each<'_>,
    ) -> Result<Option<Run>, Violation> {
        let begun = self.kept.as_mut().and_then(|kept| kept.message.as_mut());
        if let Some(begun) = begun
            && let Some(frame) = &mut begun.frame
        {
            let taken = frame.take(bytes, begun.text.as_mut())?;
            if frame.missing > 0 {
                return Ok((taken > 0).then_some(Run { taken, flow: ControlFlow::Continue(()) }));
            }
            let last = frame.last;
            begun.frame = None;
            let flow = if last { self.finish(each)? } else { ControlFlow::Continue(()) };
            return Ok(Some(Run { taken, flow }));
        }
        let Some(head) = Head::read(bytes)? else { return Ok(None) };
        if !head.is_control() {
            return self.data(&head, bytes, max_message, each).map(Some);
        }
        let Some(payload) = head.payload(bytes) else { return Ok(None) };
        unmask(payload, head.mask);
        let taken = head.size + payload.len();
        Ok(Some(Run { taken, flow: each(control_message(head.kind, payload)?) }))
    }

    /// A data frame begins: it is a message, if it is whole and the only one; else its head is taken.
    fn data(
        &mut self,
        head: &Head,
        bytes: &mut [u8],
        max_message: usize,
        each: &mut Each<'_>,
    ) -> Result<Run, Violation> {
        let begun = self.kept.as_mut().and_then(|kept| kept.message.as_mut());
        match (head.kind, &begun) {
            (Kind::Continuation, Some(_)) | (Kind::Text | Kind::Binary, None) => {}
            (Kind::Continuation, None) => {
                return Err(Violation::Protocol("a continuation without a beginning"));
            }
            _ => return Err(Violation::Protocol("a message within another")),
        }
        let before = begun.as_ref().map_or(0, |begun| begun.announced);
        let length = usize::try_from(head.length)
            .ok()
            .filter(|length| *length <= max_message.saturating_sub(before))
            .ok_or(Violation::TooLarge)?;
        if begun.is_none()
            && head.last
            && let Some(payload) = head.payload(bytes)
        {
            let taken = head.size + length;
            if head.kind == Kind::Binary {
                return Ok(Run { taken, flow: each(Message::Binary) });
            }
            unmask(payload, head.mask);
            let text = std::str::from_utf8(payload).map_err(|_| Violation::NotUtf8)?;
            return Ok(Run { taken, flow: each(Message::Text(text)) });
        }
        let begun = match begun {
            Some(begun) => begun,
            None => self.kept.get_or_insert_default().message.insert(Begun {
                text: (head.kind == Kind::Text).then(Text::default),
                announced: 0,
                frame: None,
            }),
        };
        begun.announced += length;
        let room = if head.last { begun.announced } else { max_message };
        begun.frame = Some(Frame { missing: length, mask: head.mask, last: head.last, room });
        Ok(Run { taken: head.size, flow: ControlFlow::Continue(()) })
    }

    /// Gives out the message whose last frame is whole.
    fn finish(&mut self, each: &mut Each<'_>) -> Result<ControlFlow<()>, Violation> {
        let begun = self.kept.as_mut().and_then(|kept| kept.message.take());
        match begun.and_then(|begun| begun.text) {
            Some(text) => {
                Ok(each(Message::Text(std::str::from_utf8(&text.bytes).map_err(|_| Violation::NotUtf8)?)))
            }
            None => Ok(each(Message::Binary)),
        }
    }
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.message.is_none()
    }
}

impl Frame {
    /// Takes from `bytes` what belongs to the frame; returns how many that was.
    fn take(&mut self, bytes: &[u8], text: Option<&mut Text>) -> Result<usize, Violation> {
        let bytes = &bytes[..self.missing.min(bytes.len())];
        if let Some(text) = text {
            text.push(bytes, self.mask, self.room)?;
        }
        self.missing -= bytes.len();
        self.mask.rotate_left(bytes.len() % 4);
        Ok(bytes.len())
    }
}

impl Text {
    /// Appends masked `bytes`; the text gets no longer than `room`. What cannot become UTF-8 any more is refused at once.
    fn push(&mut self, bytes: &[u8], mask: [u8; 4], room: usize) -> Result<(), Violation> {
        let begin = self.bytes.len();
        if self.bytes.capacity() < begin + bytes.len() {
            // Doubled, so that many small pieces are not copied again and again, yet never to more than can come.
            let wanted = (begin * 2).min(room).max(begin + bytes.len());
            self.bytes.reserve_exact(wanted - begin);
        }
        self.bytes.extend_from_slice(bytes);
        unmask(&mut self.bytes[begin..], mask);
        match std::str::from_utf8(&self.bytes[self.valid..]) {
            Ok(_) => self.valid = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(Violation::NotUtf8),
        }
        Ok(())
    }
}

/// The control frame with this unmasked payload.
fn control_message(kind: Kind, payload: &[u8]) -> Result<Message<'_>, Violation> {
    match (kind, payload) {
        (Kind::Ping, _) => Ok(Message::Ping(payload)),
        (Kind::Pong, _) => Ok(Message::Pong),
        (_, []) => Ok(Message::Close(None)),
        (_, [_]) => Err(Violation::Protocol("half a close code")),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(code).is_allowed() {
                return Err(Violation::Protocol("a close code that must not be sent"));
            }
            std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Message::Close(Some(code)))
        }
    }
}
