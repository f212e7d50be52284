//! The head of a client's frame, checked as far as it can be without the frames before it. Unmasking.

use std::io::Cursor;

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::{MAX_CONTROL, Violation};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
    Continuation,
    Close,
    Ping,
    Pong,
}

/// A checked head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// No continuation follows.
    pub(super) last: bool,
    pub(super) mask: [u8; 4],
    /// Bytes of the head itself: 6, 8 or 14.
    pub(super) size: usize,
    /// Bytes of payload; of a control frame at most [`MAX_CONTROL`].
    pub(super) length: u64,
}

impl Head {
    /// The most bytes that a head takes.
    pub(super) const MAX_SIZE: usize = 14;

    /// Reads the head that `bytes` begin with; `None` if it is not all there yet.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let mut cursor = Cursor::new(bytes);
        // Its one error here is an unknown opcode.
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::Protocol("unknown opcode"))?;
        let Some((header, length)) = parsed else { return Ok(None) };
        let size = cursor.position();
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::Protocol("a reserved bit is set"));
        }
        let Some(mask) = header.mask else { return Err(Violation::Protocol("a frame is not masked")) };
        if length > i64::MAX as u64 || header.len(length) as u64 != size {
            return Err(Violation::Protocol("a length is not in its shortest form"));
        }
        let kind = match header.opcode {
            OpCode::Data(Data::Text) => Kind::Text,
            OpCode::Data(Data::Binary) => Kind::Binary,
            OpCode::Data(Data::Continue) => Kind::Continuation,
            OpCode::Control(Control::Close) => Kind::Close,
            OpCode::Control(Control::Ping) => Kind::Ping,
            OpCode::Control(Control::Pong) => Kind::Pong,
            _ => return Err(Violation::Protocol("unknown opcode")),
        };
        let head = Self { kind, last: header.is_final, mask, size: size as usize, length };
        if head.is_control() && !head.last {
            return Err(Violation::Protocol("a control frame is fragmented"));
        }
        if head.is_control() && length > MAX_CONTROL as u64 {
            return Err(Violation::Protocol("a control frame is longer than 125 bytes"));
        }
        Ok(Some(head))
    }

    /// The payload in `bytes`, which begin with the head; `None` if it is not all there yet.
    pub(super) fn payload<'a>(&self, bytes: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let end = self.size.checked_add(usize::try_from(self.length).ok()?)?;
        bytes.get_mut(self.size..end)
    }

    pub(super) fn is_control(&self) -> bool {
        matches!(self.kind, Kind::Close | Kind::Ping | Kind::Pong)
    }
}

/// Takes `mask` off `bytes`, whose first belongs to its first byte. Eight at a time.
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn bytes(first: u8, lengths: &[u8]) -> Vec<u8> {
        [&[first], lengths, &MASK].concat()
    }

    #[test]
    fn heads_of_each_length_are_read_once_they_are_whole() {
        for (lengths, length) in [
            (&[0x80][..], 0),
            (&[0xfd], 125),
            (&[0xfe, 0, 126], 126),
            (&[0xfe, 0xff, 0xff], 0xffff),
            (&[0xff, 0, 0, 0, 0, 0, 1, 0, 0], 0x1_0000),
            (&[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX as u64),
        ] {
            let whole = bytes(0x81, lengths);
            let expected = Head { kind: Kind::Text, last: true, mask: MASK, size: whole.len(), length };
            for end in 0..whole.len() {
                assert_eq!(Head::read(&whole[..end]), Ok(None), "{lengths:?} to {end}");
            }
            assert_eq!(Head::read(&whole), Ok(Some(expected)));
            assert_eq!(Head::read(&[&whole, &b"more"[..]].concat()), Ok(Some(expected)));
        }
    }

    #[test]
    fn opcodes_are_told_apart() {
        for (first, kind, last) in [
            (0x00, Kind::Continuation, false),
            (0x80, Kind::Continuation, true),
            (0x01, Kind::Text, false),
            (0x82, Kind::Binary, true),
            (0x88, Kind::Close, true),
            (0x89, Kind::Ping, true),
            (0x8a, Kind::Pong, true),
        ] {
            let head = Head::read(&bytes(first, &[0x80])).ok().flatten();
            assert_eq!(head.map(|head| (head.kind, head.last)), Some((kind, last)), "{first:#x}");
        }
    }

    #[test]
    fn heads_against_the_rules_are_refused() {
        for (first, lengths) in [
            (0x83, &[0x80][..]),
            (0x87, &[0x80]),
            (0x8b, &[0x80]),
            (0x8f, &[0x80]),
            (0xc1, &[0x80]),
            (0xa1, &[0x80]),
            (0x91, &[0x80]),
            // Not masked.
            (0x81, &[0x00]),
            // Control frames: fragmented, too long.
            (0x08, &[0x80]),
            (0x09, &[0x80]),
            (0x89, &[0xfe, 0, 126]),
            // Longer than need be.
            (0x81, &[0xfe, 0, 125]),
            (0x89, &[0xfe, 0, 5]),
            (0x81, &[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            (0x81, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let read = Head::read(&bytes(first, lengths));
            assert!(matches!(read, Err(Violation::Protocol(_))), "{first:#x} {lengths:?}: {read:?}");
        }
    }

    #[test]
    fn unmasking_is_the_same_as_byte_by_byte() {
        for length in 0..40_u8 {
            let plain: Vec<u8> = (0..length).collect();
            let mut bytes = plain.clone();
            unmask(&mut bytes, [0xa1, 0xb2, 0xc3, 0xd4]);
            let slow: Vec<u8> = plain
                .iter()
                .zip([0xa1, 0xb2, 0xc3, 0xd4].iter().cycle())
                .map(|(byte, key)| byte ^ key)
                .collect();
            assert_eq!(bytes, slow);
        }
    }
}
