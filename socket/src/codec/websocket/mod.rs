//! WebSocket after RFC 6455, a server's side: no extensions, client frames masked, server frames not.
//!
//! | file | what |
//! |---|---|
//! | `assembler.rs` | [`Assembler`]: bytes as they arrive, put together into messages |
//! | `head.rs` | the head of a client's frame and its rules; unmasking |
//! | `outgoing.rs` | frames for a client: [`text_header`], [`control`], [`close`] |
//!
//! Heads of frames are read by tungstenite, and its table says which close codes exist. Its `FrameSocket` and `WebSocket`
//! are not used: they keep a read buffer of up to 128 KiB and a queue for writing with each connection, also an idle one.

mod assembler;
mod head;
mod outgoing;

pub use assembler::Assembler;
pub use outgoing::{Control, ControlFrame, close, control, text_header};

/// A control frame has at most this many bytes of payload.
pub const MAX_CONTROL: usize = 125;

/// A whole message or control frame from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, checked to be UTF-8.
    Text(&'a str),
    /// Bytes, which nobody takes here: they are counted and not kept.
    Binary,
    /// Asks for a pong with the same bytes, at most [`MAX_CONTROL`].
    Ping(&'a [u8]),
    /// An answer to a ping, or a heartbeat of the client's own.
    Pong,
    /// The client closes, with its code if it gave one. Whatever comes behind it must not be looked at.
    Close(Option<u16>),
}

/// The client broke the protocol or a limit. The connection is closed with [`Violation::close_code`] and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Against RFC 6455; says what.
    #[error("WebSocket protocol error: {0}")]
    Protocol(&'static str),
    /// A text message or the reason of a close is not UTF-8.
    #[error("a text message is not UTF-8")]
    NotUtf8,
    /// A message is larger than this server takes.
    #[error("a message is too large")]
    TooLarge,
}

impl Violation {
    /// The status code of the close frame for it: 1002, 1007 or 1009.
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
        }
    }
}
