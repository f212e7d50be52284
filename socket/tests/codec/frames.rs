//! What a client sends: frames in every form, and what comes out of an assembler.

use std::ops::ControlFlow;

use socket::codec::websocket::{Assembler, Message, Violation};

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Added to an opcode: the frame is the last of its message.
pub(crate) const LAST: u8 = 0x80;

/// A masked frame, its length in the shortest form.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, [0x37, 0xfa, 0x21, 0x3d])
}

pub(crate) fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A [`Message`] that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<Message<'_>> for Said {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary => Self::Binary,
            Message::Ping(payload) => Self::Ping(payload.to_owned()),
            Message::Pong => Self::Pong,
            Message::Close(code) => Self::Close(code),
        }
    }
}

pub(crate) fn text(text: &str) -> Said {
    Said::Text(text.to_owned())
}

/// All that comes out of `bytes`, and how it ended.
pub(crate) fn read(bytes: &[u8], max_message: usize) -> (Vec<Said>, Result<(), Violation>) {
    let mut said = Vec::new();
    let outcome = Assembler::new().feed(&mut bytes.to_vec(), max_message, &mut |message| {
        said.push(message.into());
        ControlFlow::Continue(())
    });
    (said, outcome)
}
