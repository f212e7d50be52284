//! The packets of Engine.IO 4 and Socket.IO 5 as text, default namespace only.

/// What a peer said. JSON is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Engine.IO's handshake, `0{…}`.
    Open,
    /// The session ends, by either layer.
    Close,
    /// To be answered with [`PONG`].
    Ping,
    /// The answer to a ping.
    Pong,
    /// `40`: a client asks to be connected, or a server says that it is. The JSON may be empty.
    Connect(&'a [u8]),
    /// `44`: not connected, and why.
    Refused(&'a [u8]),
    /// `42`: an event; the JSON array of its name and arguments.
    Event(Option<u64>, &'a [u8]),
    /// `43`: the acknowledgement of one event; the JSON array of its arguments.
    Ack(u64, &'a [u8]),
    /// Anything else.
    Other,
}

/// Engine.IO's answer to a ping.
pub const PONG: &[u8] = b"3";
/// Engine.IO's ping.
pub const PING: &[u8] = b"2";

impl<'a> Packet<'a> {
    /// Reads the packet in one WebSocket message.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Self {
        match text {
            [b'0', ..] => Self::Open,
            [b'1', ..] | [b'4', b'1', ..] => Self::Close,
            [b'2', ..] => Self::Ping,
            [b'3', ..] => Self::Pong,
            [b'4', b'0', json @ ..] => Self::Connect(json),
            [b'4', b'4', json @ ..] => Self::Refused(json),
            [b'4', b'2', rest @ ..] => {
                let (id, json) = split_id(rest);
                Self::Event(id, json)
            }
            [b'4', b'3', rest @ ..] => match split_id(rest) {
                (Some(id), json) => Self::Ack(id, json),
                (None, _) => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// The digits at the start as a number, and what follows.
fn split_id(text: &[u8]) -> (Option<u64>, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    (std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()), rest)
}

/// Engine.IO's handshake as a server says it.
#[must_use]
pub fn open(sid: &str, ping_interval_ms: u64, ping_timeout_ms: u64) -> String {
    format!(
        "0{{\"sid\":\"{sid}\",\"upgrades\":[],\"pingInterval\":{ping_interval_ms},\
         \"pingTimeout\":{ping_timeout_ms},\"maxPayload\":1000000}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_packet_is_read() {
        assert_eq!(Packet::read(b"0{\"sid\":\"x\"}"), Packet::Open);
        assert_eq!(Packet::read(b"1"), Packet::Close);
        assert_eq!(Packet::read(b"41"), Packet::Close);
        assert_eq!(Packet::read(b"2"), Packet::Ping);
        assert_eq!(Packet::read(b"40{\"sid\":\"x\"}"), Packet::Connect(b"{\"sid\":\"x\"}"));
        assert_eq!(Packet::read(b"40"), Packet::Connect(b""));
        assert_eq!(Packet::read(b"44{}"), Packet::Refused(b"{}"));
        assert_eq!(Packet::read(b"42[\"a\"]"), Packet::Event(None, b"[\"a\"]"));
        assert_eq!(Packet::read(b"4217[\"a\"]"), Packet::Event(Some(17), b"[\"a\"]"));
        assert_eq!(Packet::read(b"4317[{}]"), Packet::Ack(17, b"[{}]"));
        for text in ["", "6", "43[]", "4", "b", "45"] {
            assert_eq!(Packet::read(text.as_bytes()), Packet::Other, "{text}");
        }
    }

    #[test]
    fn the_handshake_is_json() {
        let text = open("s", 25_000, 20_000);
        let json: serde_json::Value = serde_json::from_str(&text[1..]).expect("JSON");
        assert_eq!((json["sid"].as_str(), json["pingInterval"].as_u64()), (Some("s"), Some(25_000)));
    }
}
