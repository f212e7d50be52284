//! Engine.IO packets as text, the same in revisions 3 and 4: one character for the kind, then the content.

use super::Malformed;

/// A heartbeat of the server (revision 4).
pub const PING: &str = "2";
/// The answer to a client's probe of a new transport, whose ping says `probe`.
pub const PROBE_PONG: &str = "3probe";
/// The server closes the session.
pub const CLOSE: &str = "1";
/// Nothing; it ends a poll that waits.
pub const NOOP: &str = "6";

/// A packet from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A handshake, which only servers send.
    Open,
    /// The client ends the session.
    Close,
    /// A heartbeat (revision 3) or the probe of a new transport, with what the answer must repeat.
    Ping(&'a str),
    /// The answer to a heartbeat, with what stood in it.
    Pong(&'a str),
    /// For the layer above: a Socket.IO packet.
    Message(&'a str),
    /// The client moves to the transport that it probed.
    Upgrade,
    /// Nothing.
    Noop,
    /// Bytes for the layer above. Nobody takes them here, so they are not decoded.
    Binary,
}

/// Reads one packet. What stands behind a packet that has no content is ignored, as the official servers do.
///
/// # Errors
///
/// Empty text, another kind than `0` to `6` and `b`, and a `b` without anything behind it are malformed.
pub fn decode(text: &str) -> Result<Packet<'_>, Malformed> {
    let kind = text.as_bytes().first().ok_or(Malformed("an Engine.IO packet"))?;
    // `None` where the first character is not ASCII; no kind matches it then.
    let content = text.get(1..).unwrap_or_default();
    Ok(match kind {
        b'0' => Packet::Open,
        b'1' => Packet::Close,
        b'2' => Packet::Ping(content),
        b'3' => Packet::Pong(content),
        b'4' => Packet::Message(content),
        b'5' => Packet::Upgrade,
        b'6' => Packet::Noop,
        b'b' if !content.is_empty() => Packet::Binary,
        b'b' => return Err(Malformed("base64 behind b")),
        _ => return Err(Malformed("an Engine.IO packet type")),
    })
}

/// The first packet of a session. `handshake` is a JSON object: identifier, upgrades, heartbeat times, size limit.
pub fn open(handshake: &str) -> String {
    ["0", handshake].concat()
}

/// The answer to a client's heartbeat (revision 3), with what stood in it.
pub fn pong(content: &str) -> String {
    ["3", content].concat()
}

/// A message; `text` is a Socket.IO packet.
pub fn message(text: &str) -> String {
    ["4", text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_packet_is_read() {
        for (text, expected) in [
            ("0", Packet::Open),
            ("0{}", Packet::Open),
            ("1", Packet::Close),
            ("2", Packet::Ping("")),
            ("2probe", Packet::Ping("probe")),
            ("3", Packet::Pong("")),
            ("3probe", Packet::Pong("probe")),
            ("4", Packet::Message("")),
            ("42[\"é\"]", Packet::Message("2[\"é\"]")),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
            ("bAQID", Packet::Binary),
        ] {
            assert_eq!(decode(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for text in ["", "7", "9x", "b", "a", " 2", "\u{1e}", "é", "𝄞"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(decode(PING), Ok(Packet::Ping("")));
        assert_eq!(decode(PROBE_PONG), Ok(Packet::Pong("probe")));
        assert_eq!(decode(CLOSE), Ok(Packet::Close));
        assert_eq!(decode(NOOP), Ok(Packet::Noop));
        assert_eq!(decode(&open("{}")), Ok(Packet::Open));
        assert_eq!(decode(&pong("x")), Ok(Packet::Pong("x")));
        assert_eq!(decode(&message("0")), Ok(Packet::Message("0")));
    }
}
