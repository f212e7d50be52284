//! An event encoded once and shared by all who get it.

use std::sync::Arc;

use crate::codec::websocket;

/// Bytes ready to be written to a WebSocket: the header, and in it one Engine.IO packet. Long-polling takes the packet out.
///
/// Cheap to clone: the bytes are shared by all connections that send them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Arc<[u8]>);

/// What a queued frame costs beside its bytes.
const PLACE: usize = 32;

impl Frame {
    /// The event `name`, which needs no escapes in JSON, with the JSON of its arguments, separated by commas.
    pub fn event(name: &str, args: &str) -> Self {
        Self::build(&["42[\"", name, "\"", comma(args), args, "]"])
    }

    /// An event that asks for an acknowledgement; see [`Frame::acknowledgement`].
    pub fn question(ack_id: u64, name: &str, args: &str) -> Self {
        Self::build(&["42", &ack_id.to_string(), "[\"", name, "\"", comma(args), args, "]"])
    }

    /// The acknowledgement of an event, for those who write an [`crate::Outlet`] of their own.
    pub fn acknowledgement(ack_id: u64, args: &str) -> Self {
        Self::build(&["43", &ack_id.to_string(), "[", args, "]"])
    }

    /// Any Engine.IO packet.
    pub(crate) fn packet(text: &str) -> Self {
        Self::build(&[text])
    }

    /// The end of a WebSocket.
    pub(crate) fn close(code: Option<u16>) -> Self {
        Self(match code {
            Some(code) => websocket::close(code, "").as_slice().into(),
            None => websocket::control(websocket::Control::Close, &[]).as_slice().into(),
        })
    }

    /// The answer to a ping of the WebSocket.
    pub(crate) fn pong(content: &[u8]) -> Self {
        Self(websocket::control(websocket::Control::Pong, content).as_slice().into())
    }

    fn build(parts: &[&str]) -> Self {
        let length = parts.iter().map(|part| part.len()).sum();
        let (header, header_len) = websocket::text_header(length);
        let mut bytes = Vec::with_capacity(header_len + length);
        bytes.extend_from_slice(header.get(..header_len).unwrap_or(&header));
        for part in parts {
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(bytes.into())
    }

    /// With the header.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The Engine.IO packet; `None` for a control frame.
    pub fn text(&self) -> Option<&str> {
        let header_len = match *self.0.get(1)? {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if self.0.first()? & 0x0f != 1 {
            return None;
        }
        std::str::from_utf8(self.0.get(header_len..)?).ok()
    }

    /// What it counts for in a queue.
    pub(crate) fn cost(&self) -> usize {
        self.0.len() + PLACE
    }
}

fn comma(args: &str) -> &'static str {
    if args.is_empty() { "" } else { "," }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_is_found_behind_a_header_of_any_length() {
        for size in [0, 100, 125, 126, 65_535, 65_536, 100_000] {
            let body = format!("\"{}\"", "x".repeat(size));
            let frame = Frame::event("message", &body);
            assert_eq!(frame.text(), Some(format!("42[\"message\",{body}]").as_str()));
        }
    }

    #[test]
    fn an_event_may_have_no_arguments() {
        assert_eq!(Frame::event("typing", "").text(), Some("42[\"typing\"]"));
        assert_eq!(Frame::question(7, "typing", "").text(), Some("427[\"typing\"]"));
    }

    #[test]
    fn a_control_frame_has_no_packet() {
        assert_eq!(Frame::close(Some(1000)).text(), None);
    }
}
