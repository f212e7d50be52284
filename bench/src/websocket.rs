//! WebSocket frames (RFC 6455), and the handshake of both sides, as text.
//!
//! A codec of our own because a load generator and a floor must cost as little as can be: frames are written into one
//! buffer for many, and read where they lie. Fragmented messages are not taken: no server of ours sends any.

use thiserror::Error;

/// The largest payload that is read, in bytes; a page of history is 1 MiB.
const PAYLOAD_MAX: u64 = 16 << 20;
/// How a client's bytes are masked. Any key does: it protects proxies, and there are none here.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x8e];

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A whole text message.
    Text,
    /// A whole binary message.
    Binary,
    /// The end of the connection.
    Close,
    /// To be answered with a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Result<Self, Broken> {
        Ok(match bits {
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            0x0 => return Err(Broken::Fragmented),
            other => return Err(Broken::Opcode(other)),
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Broken {
    /// Part of a message only.
    #[error("a fragmented message: the bench takes whole ones only")]
    Fragmented,
    /// An opcode that the protocol does not have.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// More bytes than are taken.
    #[error("a frame of {0} bytes is too large")]
    TooLarge(u64),
}

/// Where a frame's payload lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the frame is.
    pub opcode: Opcode,
    /// How many bytes stand before the payload.
    pub offset: usize,
    /// How many bytes the payload has.
    pub length: usize,
    mask: Option<[u8; 4]>,
}

impl Head {
    /// Reads the head of the frame at the start of `bytes`; `None` while not all of the head is there.
    ///
    /// # Errors
    /// What is not a frame that the bench takes.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Broken> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::from_bits(first & 0x0f)?;
        if first & 0x80 == 0 {
            return Err(Broken::Fragmented);
        }
        let (length, wide) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(bytes) => (u64::from_be_bytes(*bytes), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        if length > PAYLOAD_MAX {
            return Err(Broken::TooLarge(length));
        }
        let length = usize::try_from(length).map_err(|_| Broken::TooLarge(length))?;
        if second & 0x80 == 0 {
            return Ok(Some(Self { opcode, offset: 2 + wide, length, mask: None }));
        }
        let Some(mask) = rest.get(wide..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
        Ok(Some(Self { opcode, offset: 6 + wide, length, mask: Some(*mask) }))
    }

    /// The length of the whole frame.
    #[must_use]
    pub fn total(&self) -> usize {
        self.offset + self.length
    }

    /// The payload in `frame`, which is the whole frame, made readable where it lies.
    #[must_use]
    pub fn payload<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        let payload = &mut frame[self.offset..self.total()];
        if let Some(mask) = self.mask {
            apply(mask, payload);
        }
        payload
    }
}

fn apply(mask: [u8; 4], payload: &mut [u8]) {
    let mut fours = payload.chunks_exact_mut(4);
    for four in &mut fours {
        for (byte, mask) in four.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in fours.into_remainder().iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Who writes a frame: what a client sends is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Writes masked frames.
    Client,
    /// Writes plain frames.
    Server,
}

/// Adds one frame to `out`.
pub fn write(out: &mut Vec<u8>, side: Side, opcode: Opcode, payload: &[u8]) {
    let masked = match side {
        Side::Client => 0x80,
        Side::Server => 0,
    };
    out.push(0x80 | opcode.bits());
    // Lossless: each arm says how much there is.
    match payload.len() {
        length @ 0..=125 => out.push(masked | length as u8),
        length @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    match side {
        Side::Server => out.extend_from_slice(payload),
        Side::Client => {
            out.extend_from_slice(&MASK);
            let begin = out.len();
            out.extend_from_slice(payload);
            apply(MASK, &mut out[begin..]);
        }
    }
}

/// The longest head of a handshake, in bytes.
pub const HANDSHAKE_MAX: usize = 8 << 10;

/// What a client asks for: `(request, the key that the answer must show)`.
#[must_use]
pub fn ask(host: &str, path: &str) -> (String, String) {
    let key = tungstenite::handshake::client::generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    (request, tungstenite::handshake::derive_accept_key(key.as_bytes()))
}

/// Whether this head of a response accepts the handshake.
#[must_use]
pub fn accepts(head: &str, accept_key: &str) -> bool {
    head.starts_with("HTTP/1.1 101") && header(head, "sec-websocket-accept") == Some(accept_key)
}

/// What a server answers to this head of a request; `None` where it asks for something else.
#[must_use]
pub fn answer(head: &str) -> Option<String> {
    let accept = tungstenite::handshake::derive_accept_key(header(head, "sec-websocket-key")?.as_bytes());
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(side: Side, length: usize) -> (Vec<u8>, Vec<u8>) {
        let payload: Vec<u8> = (0..length).map(|number| number as u8).collect();
        let mut out = Vec::new();
        write(&mut out, side, Opcode::Text, &payload);
        (out, payload)
    }

    #[test]
    fn what_is_written_is_read() {
        for side in [Side::Client, Side::Server] {
            for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
                let (mut bytes, payload) = frame(side, length);
                let head = Head::read(&bytes).expect("a frame").expect("a whole head");
                assert_eq!((head.opcode, head.total()), (Opcode::Text, bytes.len()), "{side:?} {length}");
                assert!(head.payload(&mut bytes) == payload, "{side:?} {length}");
            }
        }
    }

    #[test]
    fn a_head_is_waited_for() {
        for length in [1, 126, 65_536] {
            let (bytes, _) = frame(Side::Client, length);
            let offset = Head::read(&bytes).expect("a frame").expect("a whole head").offset;
            for part in 0..offset {
                assert_eq!(Head::read(&bytes[..part]), Ok(None), "{part} bytes of {length}");
            }
        }
    }

    #[test]
    fn what_is_not_taken_is_refused() {
        assert_eq!(Head::read(&[0x01, 0]), Err(Broken::Fragmented));
        assert_eq!(Head::read(&[0x80, 0]), Err(Broken::Fragmented));
        assert_eq!(Head::read(&[0x83, 0]), Err(Broken::Opcode(3)));
        let huge = [0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(Head::read(&huge), Err(Broken::TooLarge(1 << 32)));
    }

    #[test]
    fn the_handshake_accepts_itself_only() {
        let (request, accept) = ask("localhost", "/socket.io/");
        let response = answer(&request).expect("an answer");
        assert!(accepts(&response, &accept));
        assert!(!accepts(&response, "another"));
        assert!(!accepts("HTTP/1.1 400 Bad Request\r\n\r\n", &accept));
        assert_eq!(answer("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), None);
    }
}
