//! The bytes of a stored message.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | the version of this format, 1 |
//! | 1 to 8 | the id, the highest byte first; `append.lua` reads it |
//! | 9 to 12 | where the body begins, the highest byte first; `pages.lua` reads it |
//! | 13 | which of the following are there: the bits below, in this order |
//!
//! Then, where they are there: session (8 bytes), sender, device, cid, kind, destination as JSON (each with its length
//! before it: one byte, or 255 and four bytes), and the body. `seq` and `sent_at` are the id of the stream's entry. What the conversation says
//! already, or what is usual, is left out. Of a recalled message the body is gone: in its place stands when it was recalled, as text
//! (`recall.lua` writes that).

use std::sync::Arc;

use serde_json::value::RawValue;
use wire::{Conversation, Destination, Message, MessageId, User};

use super::failure::unreadable;
use crate::{Append, StoreError};

/// The only format so far.
const VERSION: u8 = 1;
/// Bytes before the first part that may be missing.
const FIXED: usize = 14;
/// In place of a length: the length follows in four bytes.
const LONG: u8 = 255;
/// The kind that is stored as nothing.
const PLAIN_KIND: &str = "text";

const SESSION: u8 = 1;
/// The sender is the first, or the second user of the conversation; with neither bit, the name stands there.
const BY_FIRST: u8 = 2;
const BY_SECOND: u8 = 4;
const DEVICE: u8 = 8;
const CID: u8 = 16;
const KIND: u8 = 32;
const DESTINATION: u8 = 64;
/// Recalled: no part, but what stands in place of the body.
const RECALLED: u8 = 128;

pub(super) fn encode(append: &Append) -> Result<Vec<u8>, StoreError> {
    let body = append.body.get();
    let mut bytes = Vec::with_capacity(FIXED + 64 + body.len());
    bytes.push(VERSION);
    bytes.extend(append.id.0.to_be_bytes());
    bytes.extend([0; 5]);
    let mut parts = 0;
    if append.author.session != 0 {
        parts |= SESSION;
        bytes.extend(append.author.session.to_be_bytes());
    }
    match &append.conversation {
        Conversation::Direct(first, _) if *first == append.from => parts |= BY_FIRST,
        Conversation::Direct(_, second) if *second == append.from => parts |= BY_SECOND,
        _ => put(&mut bytes, append.from.as_str())?,
    }
    if let Some(device) = &append.author.device {
        parts |= DEVICE;
        put(&mut bytes, device.as_str())?;
    }
    if let Some(cid) = &append.cid {
        parts |= CID;
        put(&mut bytes, cid)?;
    }
    if *append.kind != *PLAIN_KIND {
        parts |= KIND;
        put(&mut bytes, &append.kind)?;
    }
    if append.to != usual_destination(&append.conversation, &append.from) {
        parts |= DESTINATION;
        let json = serde_json::to_string(&append.to).map_err(|error| unreadable("a destination", &error))?;
        put(&mut bytes, &json)?;
    }
    let start = length(bytes.len())?;
    bytes[9..13].copy_from_slice(&start);
    bytes[13] = parts;
    bytes.extend(body.as_bytes());
    Ok(bytes)
}

fn put(bytes: &mut Vec<u8>, text: &str) -> Result<(), StoreError> {
    match u8::try_from(text.len()) {
        Ok(short) if short < LONG => bytes.push(short),
        _ => {
            bytes.push(LONG);
            bytes.extend(length(text.len())?);
        }
    }
    bytes.extend(text.as_bytes());
    Ok(())
}

fn length(length: usize) -> Result<[u8; 4], StoreError> {
    u32::try_from(length)
        .map(u32::to_be_bytes)
        .map_err(|error| unreadable("a message that is too long to be stored", &error))
}

/// Reads the entry of a stream: its id is `<seq>-<sent_at>`.
pub(super) fn decode(conversation: &Conversation, entry: &str, bytes: &[u8]) -> Result<Message, StoreError> {
    let broken = |what: &str| unreadable(&format!("message {entry} of {conversation}"), &what);
    let (seq, sent_at) = entry.split_once('-').ok_or_else(|| broken("its place is no place"))?;
    let seq = seq.parse().map_err(|_| broken("its seq is no number"))?;
    let sent_at = sent_at.parse().map_err(|_| broken("its time is no number"))?;
    match bytes.first() {
        Some(&VERSION) => {}
        Some(&version) if version > VERSION => {
            return Err(StoreError::Schema {
                place: format!("message {seq} of {conversation}"),
                found: version.into(),
                known: VERSION.into(),
            });
        }
        _ => return Err(broken("it is no message")),
    }
    let mut rest = Rest(&bytes[1..]);
    let short = || broken("it is cut off");
    let id = rest.number().ok_or_else(short)?;
    let start = rest.long_length().ok_or_else(short)?;
    let [parts] = *rest.take(1).ok_or_else(short)? else { return Err(short()) };
    let session = if parts & SESSION == 0 { 0 } else { rest.number().ok_or_else(short)? };
    let mut text = |is_there: bool| -> Result<Option<&str>, StoreError> {
        if !is_there {
            return Ok(None);
        }
        let length = rest.length().ok_or_else(short)?;
        let bytes = rest.take(length).ok_or_else(short)?;
        std::str::from_utf8(bytes).map(Some).map_err(|error| broken(&error.to_string()))
    };
    let name = |error: wire::NameError| broken(&error.to_string());
    let from = match conversation {
        Conversation::Direct(first, _) if parts & BY_FIRST != 0 => first.clone(),
        Conversation::Direct(_, second) if parts & BY_SECOND != 0 => second.clone(),
        _ => User::new(text(true)?.unwrap_or_default()).map_err(name)?,
    };
    let device = text(parts & DEVICE != 0)?.map(str::parse).transpose().map_err(name)?;
    let cid = text(parts & CID != 0)?.map(Arc::from);
    let kind = text(parts & KIND != 0)?.unwrap_or(PLAIN_KIND).into();
    let to = match text(parts & DESTINATION != 0)? {
        None => usual_destination(conversation, &from),
        Some(json) => serde_json::from_str(json).map_err(|error| broken(&error.to_string()))?,
    };
    let body = bytes.get(start..).ok_or_else(short)?;
    let body = std::str::from_utf8(body).map_err(|error| broken(&error.to_string()))?;
    let (body, recalled_at) = if parts & RECALLED == 0 {
        (body, None)
    } else {
        ("null", Some(body.parse().map_err(|_| broken("the time of its recall is no number"))?))
    };
    let body = RawValue::from_string(body.to_owned()).map_err(|error| broken(&error.to_string()))?;
    Ok(Message {
        conversation: conversation.clone(),
        seq,
        id: MessageId(id),
        cid,
        from,
        device,
        to,
        kind,
        body: body.into(),
        sent_at,
        recalled_at,
        origin_session: session,
    })
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        match self.take(1)? {
            [LONG] => self.long_length(),
            [short] => Some(usize::from(*short)),
            _ => None,
        }
    }

    fn long_length(&mut self) -> Option<usize> {
        let length = self.take(4)?.try_into().ok().map(u32::from_be_bytes)?;
        usize::try_from(length).ok()
    }
}

/// What a message in this conversation by this user is addressed to, if nobody says otherwise: not stored.
fn usual_destination(conversation: &Conversation, from: &User) -> Destination {
    match conversation {
        Conversation::Group(group) => Destination::Group(group.clone()),
        Conversation::Direct(first, second) => {
            Destination::User(if first == from { second.clone() } else { first.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::support::{
        body, direct, from_device, of_group, to_group, to_user, user, with_cid,
    };

    fn round(append: &Append) -> Message {
        let bytes = encode(append).expect("it can be stored");
        decode(&append.conversation, "7-1234", &bytes).expect("our own bytes")
    }

    #[test]
    fn a_message_survives_its_bytes() {
        let full = from_device("pad:1", 3, with_cid("c ☃", to_user("x:1", "b")));
        let odd = Append { to: Destination::User(user("c")), kind: "image/png".into(), ..to_user("b", "a") };
        let outsider = Append { from: user("system"), ..to_user("a", "b") };
        let long = with_cid(&"c".repeat(300), to_user("a", "b"));
        let bare = Append { id: MessageId(u64::MAX >> 1), body: body(" null"), ..to_user("a", "a") };
        for append in [full, odd, outsider, long, bare, to_group("a", "g")] {
            let message = round(&append);
            assert_eq!((message.seq, message.sent_at, message.id), (7, 1_234, append.id));
            assert_eq!(message.conversation, append.conversation);
            assert_eq!((&message.from, &message.to), (&append.from, &append.to));
            assert_eq!((&message.device, &message.cid), (&append.author.device, &append.cid));
            assert_eq!((&message.kind, message.body.get()), (&append.kind, append.body.get()));
            assert_eq!(message.origin_session, append.author.session);
        }
    }

    /// What is stored may be read by every later program.
    #[test]
    fn the_format_stays() {
        let append = Append { id: MessageId(0x0102_0304_0506_0708), body: body("1"), ..to_group("a", "g") };
        let append = with_cid("c", append);
        let bytes = b"\x01\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x12\x10\x01a\x01c1";
        assert_eq!(encode(&append).expect("it can be stored"), bytes);
        assert_eq!(decode(&of_group("g"), "1-1", bytes).expect("readable").cid.as_deref(), Some("c"));
    }

    #[test]
    fn of_a_recalled_message_everything_but_the_body_is_left() {
        let append = with_cid("c", to_user("a", "b"));
        let mut bytes = encode(&append).expect("it can be stored");
        let body = u32::from_be_bytes(bytes[9..13].try_into().expect("four bytes"));
        bytes.truncate(body as usize);
        bytes[13] |= RECALLED;
        bytes.extend(b"5678");
        let message = decode(&append.conversation, "7-1234", &bytes).expect("readable");
        assert_eq!((message.body.get(), message.recalled_at), ("null", Some(5_678)));
        assert_eq!((message.id, message.cid, message.from), (append.id, append.cid, append.from));
        bytes.extend(b"x");
        assert!(decode(&append.conversation, "7-1234", &bytes).is_err(), "no time");
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let mut bytes = encode(&to_user("a", "b")).expect("it can be stored");
        bytes[0] = 2;
        let refused = decode(&direct("a", "b"), "1-1", &bytes).expect_err("it is newer");
        assert!(matches!(refused, StoreError::Schema { found: 2, known: 1, .. }), "{refused}");
    }

    #[test]
    fn whatever_is_cut_off_or_changed_never_panics() {
        let append = from_device("pad", 3, with_cid("c", to_user("a", "b")));
        let whole = encode(&append).expect("it can be stored");
        for end in 0..whole.len() {
            let error = decode(&append.conversation, "1-1", &whole[..end]).expect_err("cut off");
            assert!(matches!(error, StoreError::Corrupt(_)), "{end}: {error}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                drop(decode(&append.conversation, "1-1", &bytes));
            }
        }
        for entry in ["", "1", "1-", "-1", "a-b"] {
            assert!(decode(&append.conversation, entry, &whole).is_err(), "{entry}");
        }
    }
}
