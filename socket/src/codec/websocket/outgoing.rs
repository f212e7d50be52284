//! Frames for a client. They are never masked and never fragmented.

use super::MAX_CONTROL;

/// What a control frame is; the value is its opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// The end of the connection.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

/// A whole control frame, head and payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlFrame {
    bytes: [u8; 2 + MAX_CONTROL],
    length: u8,
}

impl ControlFrame {
    /// The bytes to write.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for ControlFrame {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// The head of a text frame with `payload_len` bytes of payload, and how many of the 10 bytes it takes: 2, 4 or 10.
pub const fn text_header(payload_len: usize) -> ([u8; 10], usize) {
    const WHOLE_TEXT: u8 = 0x81;
    let [a, b, c, d, e, f, g, h] = (payload_len as u64).to_be_bytes();
    if payload_len <= 125 {
        ([WHOLE_TEXT, h, 0, 0, 0, 0, 0, 0, 0, 0], 2)
    } else if payload_len <= u16::MAX as usize {
        ([WHOLE_TEXT, 126, g, h, 0, 0, 0, 0, 0, 0], 4)
    } else {
        ([WHOLE_TEXT, 127, a, b, c, d, e, f, g, h], 10)
    }
}

/// A control frame. Of `payload` at most [`MAX_CONTROL`] bytes are taken; what a client's ping had always fits.
pub fn control(kind: Control, payload: &[u8]) -> ControlFrame {
    let payload = payload.get(..MAX_CONTROL).unwrap_or(payload);
    let mut bytes = [0; 2 + MAX_CONTROL];
    // At most 125, and 127 with the head.
    let length = payload.len() as u8;
    bytes[0] = 0x80 | kind as u8;
    bytes[1] = length;
    bytes[2..2 + payload.len()].copy_from_slice(payload);
    ControlFrame { bytes, length: 2 + length }
}

/// A close frame with `code` and as many whole characters of `reason` as fit into 123 bytes.
pub fn close(code: u16, reason: &str) -> ControlFrame {
    let reason = reason.get(..reason.floor_char_boundary(MAX_CONTROL - 2)).unwrap_or_default();
    let mut payload = [0; MAX_CONTROL];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    control(Control::Close, &payload[..2 + reason.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        for (length, head) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (0xffff, &[0x81, 126, 0xff, 0xff]),
            (0x1_0000, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let (bytes, size) = text_header(length);
            assert_eq!(&bytes[..size], head, "{length}");
        }
    }

    #[test]
    fn control_frames_are_whole_and_bounded() {
        assert_eq!(control(Control::Ping, b"").as_slice(), [0x89, 0]);
        assert_eq!(control(Control::Pong, b"hey").as_slice(), b"\x8a\x03hey");
        let long = control(Control::Pong, &[7; 200]);
        assert_eq!(long.as_slice().len(), 127);
        assert_eq!(long.as_slice()[..3], [0x8a, 125, 7]);
    }

    #[test]
    fn a_close_has_its_code_and_whole_characters() {
        assert_eq!(close(1000, "").as_slice(), [0x88, 2, 0x03, 0xe8]);
        assert_eq!(close(1009, "big").as_slice(), b"\x88\x05\x03\xf1big");
        let long = close(1002, &"é".repeat(100));
        assert_eq!(long.as_slice().len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&long.as_slice()[4..]).is_ok());
    }
}
