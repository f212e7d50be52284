//! Socket.IO packets as text: protocol 5 (clients v3 and v4) and 4 (clients v2), default namespace only.
//!
//! Written after the Socket.IO protocol document, revision 5, section "Packet encoding":
//! `<type>[<number of attachments>-][<namespace>,][<acknowledgement id>][<JSON>]`.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A packet from a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming<'a> {
    /// The client asks to be connected; the JSON is its `auth`.
    Connect { auth: &'a str },
    /// The client leaves.
    Disconnect,
    /// An event: the JSON array of its name and arguments.
    Event { ack_id: Option<u64>, json: &'a str },
    /// An event with binary attachments, which are not taken.
    BinaryEvent { ack_id: Option<u64> },
    /// An acknowledgement of ours; we ask for none.
    Ack,
    /// For a namespace other than `/`.
    OtherNamespace { namespace: &'a str, connect: bool },
}

/// The text is not a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) fn parse(text: &str) -> Result<Incoming<'_>, Malformed> {
    let kind = *text.as_bytes().first().ok_or(Malformed)?;
    let mut rest = text.get(1..).ok_or(Malformed)?;
    if matches!(kind, b'5' | b'6') {
        let (attachments, after) = rest.split_once('-').ok_or(Malformed)?;
        attachments.parse::<u32>().map_err(|_| Malformed)?;
        rest = after;
    }
    if rest.starts_with('/') {
        let (namespace, after) = rest.split_once(',').unwrap_or((rest, ""));
        // Protocol 4 may put a query behind the namespace.
        let name = namespace.split('?').next().unwrap_or(namespace);
        if name != "/" {
            return Ok(Incoming::OtherNamespace { namespace: name, connect: kind == b'0' });
        }
        rest = after;
    }
    if kind == b'0' {
        return Ok(Incoming::Connect { auth: rest });
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, json) = rest.split_at(digits);
    let ack_id = if number.is_empty() { None } else { Some(number.parse().map_err(|_| Malformed)?) };
    match kind {
        b'1' => Ok(Incoming::Disconnect),
        b'2' => Ok(Incoming::Event { ack_id, json }),
        b'3' | b'6' => Ok(Incoming::Ack),
        b'5' => Ok(Incoming::BinaryEvent { ack_id }),
        _ => Err(Malformed),
    }
}

/// The name and the first argument of an event; further arguments are ignored.
pub(super) fn parse_event(json: &str) -> Result<(String, Option<&RawValue>), Malformed> {
    let parts: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Malformed)?;
    let name = parts.first().ok_or(Malformed)?;
    let name = serde_json::from_str(name.get()).map_err(|_| Malformed)?;
    Ok((name, parts.get(1).copied()))
}

/// The `ticket` in a client's `auth`; whatever else stands there is ignored.
pub(super) fn ticket_of(auth: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Auth {
        ticket: Option<String>,
    }
    serde_json::from_str::<Auth>(auth).ok().and_then(|auth| auth.ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_packet_is_read() {
        assert_eq!(parse("0"), Ok(Incoming::Connect { auth: "" }));
        assert_eq!(parse("0{\"ticket\":\"t\"}"), Ok(Incoming::Connect { auth: "{\"ticket\":\"t\"}" }));
        assert_eq!(parse("1"), Ok(Incoming::Disconnect));
        assert_eq!(parse("2[\"a\"]"), Ok(Incoming::Event { ack_id: None, json: "[\"a\"]" }));
        assert_eq!(parse("212[\"a\",{}]"), Ok(Incoming::Event { ack_id: Some(12), json: "[\"a\",{}]" }));
        assert_eq!(parse("2/,7[\"a\"]"), Ok(Incoming::Event { ack_id: Some(7), json: "[\"a\"]" }));
        assert_eq!(parse("51-3[\"a\",{}]"), Ok(Incoming::BinaryEvent { ack_id: Some(3) }));
        assert_eq!(parse("0/admin,{}"), Ok(Incoming::OtherNamespace { namespace: "/admin", connect: true }));
        assert_eq!(parse("0/?ticket=x,"), Ok(Incoming::Connect { auth: "" }));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for text in ["", "9", "x", "5[\"a\"]", "5x-[\"a\"]", "299999999999999999999[\"a\"]", "é"] {
            assert_eq!(parse(text), Err(Malformed), "{text}");
        }
        for json in ["", "{}", "[]", "[1]", "[\"a\""] {
            assert!(parse_event(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_event_has_a_name_and_a_first_argument() {
        let (name, payload) = parse_event("[\"send\",{\"a\":1},2]").expect("an event");
        assert_eq!((name.as_str(), payload.map(RawValue::get)), ("send", Some("{\"a\":1}")));
        assert!(matches!(parse_event("[\"send\"]"), Ok((_, None))));
    }
}
