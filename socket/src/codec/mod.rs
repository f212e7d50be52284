//! The bytes of Engine.IO, Socket.IO and WebSocket. Nothing here reads, writes or waits.
//!
//! From outside to inside:
//!
//! | file | what |
//! |---|---|
//! | `websocket/` | frames from a client, put together into messages; frames for a client |
//! | `payload.rs` | bodies of HTTP long-polling: several Engine.IO packets in one |
//! | `engine.rs` | Engine.IO packets: heartbeats, messages, the upgrade |
//! | `packet.rs` | Socket.IO packets, which travel in Engine.IO messages |
//! | `event.rs` | the JSON of an event: its name and its arguments |
//!
//! Decoders borrow from their input, take any bytes without a panic, and say what they expected when they refuse.

mod event;

pub mod engine;
pub mod packet;
pub mod payload;
pub mod websocket;

/// Which Engine.IO protocol a client speaks: its `EIO` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Engine.IO 3, spoken by Socket.IO clients of version 2: the client pings.
    V3,
    /// Engine.IO 4, spoken by Socket.IO clients of versions 3 and 4: the server pings.
    V4,
}

/// The input is not what the protocol allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0} expected")]
pub struct Malformed(
    /// What should have stood there, in a few words.
    pub &'static str,
);

/// A decimal number without sign and leading zeros that fits into 64 bits.
fn number(digits: &str) -> Option<u64> {
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain() {
        for (digits, expected) in [("0", 0), ("7", 7), ("10", 10), ("18446744073709551615", u64::MAX)] {
            assert_eq!(number(digits), Some(expected));
        }
        for digits in ["", "00", "01", "+1", "-1", " 1", "1.0", "1e3", "٣", "18446744073709551616"] {
            assert_eq!(number(digits), None, "{digits}");
        }
    }

    #[test]
    fn what_is_malformed_says_what_was_expected() {
        assert_eq!(Malformed("a number").to_string(), "malformed: a number expected");
    }
}
