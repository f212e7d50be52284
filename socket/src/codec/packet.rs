//! Socket.IO packets as text: protocol 5 (clients 3 and 4) and 4 (clients 2), default namespace only.
//!
//! Written after the Socket.IO protocol document, revision 5, section "Packet encoding":
//! `<type>[<number of attachments>-][<namespace>,][<acknowledgement id>][<JSON>]`.

use std::fmt::Write;

use super::{Malformed, event::check, number};

pub use super::event::{Event, decode_event};

/// A packet from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// The client asks to be connected.
    Connect {
        /// A JSON object, or empty.
        auth: &'a str,
    },
    /// The client leaves.
    Disconnect,
    /// An event.
    Event {
        /// What an acknowledgement must repeat; `None` if none is asked for.
        ack_id: Option<u64>,
        /// What [`decode_event`] reads. Nothing has looked at it yet.
        json: &'a str,
    },
    /// An event with binary attachments, which follow as binary messages.
    BinaryEvent {
        /// As of an event.
        ack_id: Option<u64>,
        /// How many follow; at least one.
        attachments: u32,
    },
    /// The client acknowledges an event.
    Ack {
        /// The id that went with the event.
        ack_id: u64,
        /// A JSON array: the arguments of the acknowledgement.
        json: &'a str,
    },
    /// An acknowledgement with binary attachments.
    BinaryAck,
    /// For a namespace other than `/`.
    OtherNamespace {
        /// Begins with a slash; without a query.
        namespace: &'a str,
        /// The client asks to be connected to it.
        connect: bool,
    },
}

/// Reads one packet. A packet for another namespace is read no further than to that.
///
/// # Errors
///
/// Malformed are: unknown types and `connect_error`, which only servers send; numbers with leading zeros or past their
/// type; an `auth` that is no JSON object; an acknowledgement without id or JSON array; binary packets without attachment;
/// a disconnect with something behind it.
pub fn decode(text: &str) -> Result<Incoming<'_>, Malformed> {
    let kind = *text.as_bytes().first().ok_or(Malformed("a Socket.IO packet"))?;
    if !matches!(kind, b'0'..=b'3' | b'5' | b'6') {
        return Err(Malformed("a Socket.IO packet type of a client"));
    }
    let mut rest = text.get(1..).unwrap_or_default();
    let mut attachments = 0;
    if matches!(kind, b'5' | b'6') {
        let expected = Malformed("a number of attachments");
        let (digits, after) = rest.split_once('-').ok_or(expected)?;
        attachments = number(digits)
            .and_then(|count| count.try_into().ok())
            .filter(|count| *count > 0)
            .ok_or(expected)?;
        rest = after;
    }
    if rest.starts_with('/') {
        let (namespace, after) = rest.split_once(',').unwrap_or((rest, ""));
        // Protocol 4 may put a query behind the namespace.
        let name = namespace.split_once('?').map_or(namespace, |(name, _)| name);
        if name != "/" {
            return Ok(Incoming::OtherNamespace { namespace: name, connect: kind == b'0' });
        }
        rest = after;
    }
    let (ack_id, json) = split_id(rest)?;
    match kind {
        b'0' if rest.is_empty() => Ok(Incoming::Connect { auth: rest }),
        b'0' => check(rest, '{').map(|()| Incoming::Connect { auth: rest }),
        b'1' if rest.is_empty() => Ok(Incoming::Disconnect),
        b'2' => Ok(Incoming::Event { ack_id, json }),
        b'3' => {
            let ack_id = ack_id.ok_or(Malformed("the id of an acknowledgement"))?;
            check(json, '[').map(|()| Incoming::Ack { ack_id, json })
        }
        b'5' => Ok(Incoming::BinaryEvent { ack_id, attachments }),
        b'6' => Ok(Incoming::BinaryAck),
        _ => Err(Malformed("nothing behind a disconnect")),
    }
}

fn split_id(text: &str) -> Result<(Option<u64>, &str), Malformed> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (id, json) = text.split_at(digits);
    if id.is_empty() {
        return Ok((None, json));
    }
    number(id).map(|id| (Some(id), json)).ok_or(Malformed("a plain id of an acknowledgement"))
}

/// An event. `args` is its arguments, JSON each, with commas between them; empty for none.
pub fn event(name: &str, args: &str) -> String {
    // Room for an escape or two as well.
    let mut out = String::with_capacity(name.len() + args.len() + 8);
    out.push_str("2[");
    if name.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&serde_json::Value::from(name).to_string());
    } else {
        out.push('"');
        out.push_str(name);
        out.push('"');
    }
    if !args.is_empty() {
        out.push(',');
        out.push_str(args);
    }
    out.push(']');
    out
}

/// The acknowledgement of a client's event. `args` as in [`event`].
pub fn ack(id: u64, args: &str) -> String {
    // 20 digits at most.
    let mut out = String::with_capacity(args.len() + 23);
    // A String takes everything.
    let _ = write!(out, "3{id}[{args}]");
    out
}

/// The client is connected. Protocol 5 tells it the `sid` of the connection, protocol 4 does not.
pub fn connect(sid: Option<&str>) -> String {
    match sid {
        Some(sid) => format!("0{}", serde_json::json!({ "sid": sid })),
        None => "0".to_owned(),
    }
}

/// The client is refused. `json` says why: an object with a `message` in protocol 5, any JSON in protocol 4.
pub fn connect_error(json: &str) -> String {
    ["4", json].concat()
}

/// The server sends the client away.
pub fn disconnect() -> String {
    "1".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_packet_is_read() {
        let auth = "{\"ticket\":\"t\"}";
        for (text, expected) in [
            ("0", Incoming::Connect { auth: "" }),
            ("0{\"ticket\":\"t\"}", Incoming::Connect { auth }),
            ("0/,{\"ticket\":\"t\"}", Incoming::Connect { auth }),
            ("0/?ticket=x,", Incoming::Connect { auth: "" }),
            ("0/?ticket=x", Incoming::Connect { auth: "" }),
            ("1", Incoming::Disconnect),
            ("1/,", Incoming::Disconnect),
            ("2[\"a\"]", Incoming::Event { ack_id: None, json: "[\"a\"]" }),
            ("20[\"a\"]", Incoming::Event { ack_id: Some(0), json: "[\"a\"]" }),
            ("212[\"a\",{}]", Incoming::Event { ack_id: Some(12), json: "[\"a\",{}]" }),
            ("2/,7[\"a\"]", Incoming::Event { ack_id: Some(7), json: "[\"a\"]" }),
            ("218446744073709551615[]", Incoming::Event { ack_id: Some(u64::MAX), json: "[]" }),
            ("312[]", Incoming::Ack { ack_id: 12, json: "[]" }),
            ("3/,0[{\"a\":1},2]", Incoming::Ack { ack_id: 0, json: "[{\"a\":1},2]" }),
            ("51-3[\"a\",{}]", Incoming::BinaryEvent { ack_id: Some(3), attachments: 1 }),
            ("512-/,[\"a\",{}]", Incoming::BinaryEvent { ack_id: None, attachments: 12 }),
            ("61-3[{}]", Incoming::BinaryAck),
            ("0/admin,{}", Incoming::OtherNamespace { namespace: "/admin", connect: true }),
            ("0/admin?a=b,{}", Incoming::OtherNamespace { namespace: "/admin", connect: true }),
            ("0/admin", Incoming::OtherNamespace { namespace: "/admin", connect: true }),
            ("51-/é,[]", Incoming::OtherNamespace { namespace: "/é", connect: false }),
            ("1/admin,", Incoming::OtherNamespace { namespace: "/admin", connect: false }),
        ] {
            assert_eq!(decode(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for text in [
            "",
            "4",
            "4{}",
            "7",
            "9",
            "x",
            "é",
            "9/admin,",
            "abc",
            "0\"random\"",
            "0[]",
            "0[{}]",
            "0null",
            "01",
            "0{",
            "0{}{}",
            "0{a:1}",
            "01{}",
            "1{}",
            "1 ",
            "17",
            "201[\"a\"]",
            "200[\"a\"]",
            "299999999999999999999[\"a\"]",
            "3",
            "3[]",
            "31",
            "31{}",
            "31[",
            "301[]",
            "5",
            "5[\"a\"]",
            "5x-[\"a\"]",
            "5-[\"a\"]",
            "50-[\"a\"]",
            "501-[\"a\"]",
            "5-1-[\"a\"]",
            "54294967296-[\"a\"]",
            "51-01[\"a\"]",
            "6[]",
            "60-1[]",
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_json_is_refused_without_recursion() {
        for text in ["0{\"a\":", "31["] {
            let text = format!("{text}{}", "[".repeat(100_000));
            assert!(decode(&text).is_err());
        }
    }

    #[test]
    fn packets_are_written() {
        assert_eq!(event("message", "{\"a\":1}"), "2[\"message\",{\"a\":1}]");
        assert_eq!(event("message", ""), "2[\"message\"]");
        assert_eq!(event("a\"\\\u{1e}é", "1,2"), "2[\"a\\\"\\\\\\u001eé\",1,2]");
        assert_eq!(event("a\nb", ""), "2[\"a\\nb\"]");
        assert_eq!(ack(12, "1,{}"), "312[1,{}]");
        assert_eq!(ack(u64::MAX, ""), "318446744073709551615[]");
        assert_eq!(connect(Some("abc")), "0{\"sid\":\"abc\"}");
        assert_eq!(connect(None), "0");
        assert_eq!(connect_error("{\"message\":\"no\"}"), "4{\"message\":\"no\"}");
        assert_eq!(disconnect(), "1");
    }
}
