//! Bodies of HTTP long-polling: Engine.IO packets, one after the other.
//!
//! | revision | form |
//! |---|---|
//! | 4 | packets with a record separator (`0x1e`) between them |
//! | 3 | `<length>:<packet>`, the length in UTF-16 code units, as JavaScript counts |
//! | 3, octets | a byte 0 (text) or 1 (binary), the length in bytes as digits of a byte each, `0xff`, the packet |
//!
//! The third is what clients of revision 3 post as `application/octet-stream` when something binary is among the packets.

use std::fmt::Write;

use super::{
    Malformed, Revision,
    engine::{self, Packet},
    number,
};

/// Stands between two packets of revision 4. No JSON has it unescaped, and no base64.
const SEPARATOR: char = '\u{1e}';

/// Ends the length of a packet among octets.
const LENGTH_END: u8 = 0xff;

/// The packets of a body, in order. After the first error nothing comes any more.
///
/// It holds only the body, whatever its number of packets: who collects them must bound that.
#[derive(Debug, Clone)]
pub struct Packets<'a>(Rest<'a>);

#[derive(Debug, Clone)]
enum Rest<'a> {
    Separated(&'a str),
    Counted(&'a str),
    Octets(&'a [u8]),
    Refused(Malformed),
    Done,
}

/// Reads a body. `octets` says that it came as `application/octet-stream`.
///
/// # Errors
///
/// They come in place of the packet where they stand: text that is not UTF-8 (before any packet), a packet that
/// [`engine::decode`] refuses, a length that is missing, not plain or past the end, an empty body, octets in revision 4.
pub fn decode(revision: Revision, body: &[u8], octets: bool) -> Packets<'_> {
    if body.is_empty() {
        return Packets(Rest::Refused(Malformed("a packet in the body")));
    }
    Packets(match (revision, octets) {
        (Revision::V3, true) => Rest::Octets(body),
        (Revision::V4, true) => Rest::Refused(Malformed("text")),
        (_, false) => match (std::str::from_utf8(body), revision) {
            (Err(_), _) => Rest::Refused(Malformed("UTF-8")),
            (Ok(text), Revision::V3) => Rest::Counted(text),
            (Ok(text), Revision::V4) => Rest::Separated(text),
        },
    })
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (packet, rest) = match std::mem::replace(&mut self.0, Rest::Done) {
            Rest::Done => return None,
            Rest::Refused(why) => return Some(Err(why)),
            // A separator at the end has an empty packet behind it, which is malformed.
            Rest::Separated(text) => match text.split_once(SEPARATOR) {
                Some((packet, rest)) => (engine::decode(packet), Rest::Separated(rest)),
                None => (engine::decode(text), Rest::Done),
            },
            Rest::Counted(text) => match counted(text) {
                Ok((packet, "")) => (engine::decode(packet), Rest::Done),
                Ok((packet, rest)) => (engine::decode(packet), Rest::Counted(rest)),
                Err(why) => (Err(why), Rest::Done),
            },
            Rest::Octets(bytes) => match octet_packet(bytes) {
                Ok((packet, [])) => (Ok(packet), Rest::Done),
                Ok((packet, rest)) => (Ok(packet), Rest::Octets(rest)),
                Err(why) => (Err(why), Rest::Done),
            },
        };
        if packet.is_ok() {
            self.0 = rest;
        }
        Some(packet)
    }
}

/// The text of the first packet, and what follows it.
fn counted(text: &str) -> Result<(&str, &str), Malformed> {
    let (length, text) = text.split_once(':').ok_or(Malformed("a length and a colon"))?;
    let length = number(length).ok_or(Malformed("a length in plain digits"))?;
    let at = utf16_prefix(text, length).ok_or(Malformed("as many characters as the length says"))?;
    Ok(text.split_at(at))
}

/// How many bytes the first `units` UTF-16 code units take; `None` if there are not so many, or a character straddles.
fn utf16_prefix(text: &str, units: u64) -> Option<usize> {
    let mut left = units;
    let mut chars = text.chars();
    while left > 0 {
        left = left.checked_sub(chars.next()?.len_utf16() as u64)?;
    }
    Some(text.len() - chars.as_str().len())
}

fn octet_packet(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), Malformed> {
    let (kind, bytes) = bytes.split_first().ok_or(Malformed("a packet"))?;
    let end = bytes.iter().position(|byte| *byte > 9).unwrap_or(bytes.len());
    let (digits, bytes) = bytes.split_at(end);
    let bytes = bytes.strip_prefix(&[LENGTH_END]).ok_or(Malformed("a length in digits, and 0xff"))?;
    let length = digits
        .iter()
        .try_fold(0_usize, |length, digit| length.checked_mul(10)?.checked_add((*digit).into()))
        .filter(|_| digits.first().is_some_and(|first| *first != 0))
        .ok_or(Malformed("a length in plain digits"))?;
    let (content, rest) =
        bytes.split_at_checked(length).ok_or(Malformed("as many bytes as the length says"))?;
    let packet = match kind {
        0 => engine::decode(std::str::from_utf8(content).map_err(|_| Malformed("UTF-8"))?)?,
        1 => Packet::Binary,
        _ => return Err(Malformed("0 for text or 1 for binary")),
    };
    Ok((packet, rest))
}

/// Appends a body with `packets` to `out`. No packet may contain `0x1e`; JSON never does.
///
/// Both revisions take text for an answer, also where a client's own bodies come as octets.
pub fn encode<'a>(revision: Revision, packets: impl Iterator<Item = &'a str>, out: &mut String) {
    for (at, packet) in packets.enumerate() {
        match revision {
            Revision::V4 if at == 0 => {}
            Revision::V4 => out.push(SEPARATOR),
            Revision::V3 => {
                let units = if packet.is_ascii() { packet.len() } else { packet.encode_utf16().count() };
                // A String takes everything.
                let _ = write!(out, "{units}:");
            }
        }
        out.push_str(packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(revision: Revision, body: &str) -> Result<Vec<Packet<'_>>, Malformed> {
        decode(revision, body.as_bytes(), false).collect()
    }

    fn octets(body: &[u8]) -> Result<Vec<Packet<'_>>, Malformed> {
        decode(Revision::V3, body, true).collect()
    }

    #[test]
    fn bodies_of_revision_4_are_separated() {
        let packets = vec![Packet::Message("2[\"é\"]"), Packet::Pong(""), Packet::Binary];
        assert_eq!(text(Revision::V4, "42[\"é\"]\u{1e}3\u{1e}bAQID"), Ok(packets));
        assert_eq!(text(Revision::V4, "1"), Ok(vec![Packet::Close]));
        for body in ["", "\u{1e}", "4\u{1e}", "\u{1e}4", "4\u{1e}\u{1e}4", "4\u{1e}x"] {
            assert!(text(Revision::V4, body).is_err(), "{body:?}");
        }
        assert!(decode(Revision::V4, b"4\xff", false).any(|packet| packet.is_err()));
        assert!(decode(Revision::V4, b"4", true).any(|packet| packet.is_err()));
    }

    #[test]
    fn lengths_of_revision_3_count_as_javascript_does() {
        let packets = vec![Packet::Message("€é"), Packet::Message("𝄞"), Packet::Ping("")];
        assert_eq!(text(Revision::V3, "3:4€é3:4𝄞1:2"), Ok(packets));
        assert_eq!(text(Revision::V3, "4:4a:1"), Ok(vec![Packet::Message("a:1")]));
        for body in [
            "",
            ":",
            "4",
            "0:",
            "0:1:2",
            "01:2",
            "2:4",
            "1:42",
            "3:4€é3:4𝄞1:",
            "2:4𝄞",
            "-1:2",
            "x:2",
            "+1:2",
            "99999999999999999999:4",
            "18446744073709551615:4",
            "1:7",
        ] {
            assert!(text(Revision::V3, body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn octets_of_revision_3_count_bytes() {
        let body = b"\x00\x03\xff4\xc3\xa9\x01\x01\x00\xff\x04234567890\x00\x01\xff2";
        let mut body = body.to_vec();
        // The second packet says 10 bytes, its type among them.
        assert_eq!(octets(&body), Ok(vec![Packet::Message("é"), Packet::Binary, Packet::Ping("")]));
        body.pop();
        assert!(octets(&body).is_err());
        for body in [
            &b""[..],
            b"\x00",
            b"\x00\x01",
            b"\x00\x01\xff",
            b"\x00\xff",
            b"\x00\xff2",
            b"\x00\x00\xff",
            b"\x01\x00\xff",
            b"\x00\x00\x01\xff2",
            b"\x02\x01\xff2",
            b"\x00\x01\x0a\xff2",
            b"\x00\x01\xff\xe9",
            b"\x00\x01\xff7",
            b"\x00\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff2",
        ] {
            assert!(octets(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn what_comes_before_an_error_is_read_and_nothing_behind_it() {
        let packets: Vec<_> = decode(Revision::V4, "41\u{1e}x\u{1e}42".as_bytes(), false).collect();
        assert_eq!(packets.len(), 2);
        assert_eq!(packets.first(), Some(&Ok(Packet::Message("1"))));
        assert!(packets.get(1).is_some_and(Result::is_err));
    }

    #[test]
    fn bodies_are_written_in_the_form_of_the_revision() {
        let written = |revision| {
            let mut out = String::new();
            encode(revision, ["40", "4𝄞€", "6"].into_iter(), &mut out);
            out
        };
        assert_eq!(written(Revision::V4), "40\u{1e}4𝄞€\u{1e}6");
        assert_eq!(written(Revision::V3), "2:404:4𝄞€1:6");
    }
}
