//! Payloads and packets: what is written reads back, and random bytes are taken or refused.

use proptest::{collection::vec, prelude::*};
use serde_json::value::RawValue;
use socket::codec::{
    Revision,
    engine::{self, Packet},
    packet::{self, Incoming},
    payload,
};

fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![Just(Revision::V3), Just(Revision::V4)]
}

/// Text with characters of one to four bytes, and of one and two UTF-16 code units.
fn some_text() -> impl Strategy<Value = String> {
    "[ -~\n:é€\u{ffff}𝄞😀\u{10ffff}]{0,30}"
}

fn engine_packet() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => some_text().prop_map(|text| engine::message(&text)),
        1 => some_text().prop_map(|text| engine::pong(&text)),
        1 => Just(engine::PING.to_owned()),
        1 => Just("bAQID".to_owned()),
    ]
}

/// Any JSON, as text.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    let tree = leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Into::into),
            vec((any::<String>(), inner), 0..5).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    });
    tree.prop_map(|value| value.to_string())
}

/// Bytes that often look like what a decoder takes.
fn nearly(pattern: &'static str) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..200), pattern.prop_map(String::into_bytes)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_payload_reads_back(revision in revision(), packets in vec(engine_packet(), 1..8)) {
        let mut body = String::new();
        payload::encode(revision, packets.iter().map(String::as_str), &mut body);
        let read: Result<Vec<_>, _> = payload::decode(revision, body.as_bytes(), false).collect();
        let sent: Result<Vec<_>, _> = packets.iter().map(|packet| engine::decode(packet)).collect();
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn octets_read_back(packets in vec((any::<bool>(), engine_packet()), 1..8)) {
        let mut body = Vec::new();
        for (binary, packet) in &packets {
            body.push((*binary).into());
            body.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
            body.push(0xff);
            body.extend(packet.as_bytes());
        }
        let read: Result<Vec<_>, _> = payload::decode(Revision::V3, &body, true).collect();
        let sent: Result<Vec<_>, _> = packets
            .iter()
            .map(|(binary, packet)| if *binary { Ok(Packet::Binary) } else { engine::decode(packet) })
            .collect();
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn a_payload_of_anything_is_taken_or_refused(
        revision in revision(),
        body in nearly("([0-9]{1,2}:)?[0-6b]{1,3}(\u{1e}|[0-9]{1,2}:)[0-6b]?é?"),
        octets in any::<bool>(),
    ) {
        let read: Vec<_> = payload::decode(revision, &body, octets).collect();
        prop_assert!(!read.is_empty() && read.len() <= body.len().max(1));
        let errors = read.iter().filter(|packet| packet.is_err()).count();
        prop_assert!(errors == 0 || errors == 1 && read.last().is_some_and(Result::is_err), "{:?}", read);
    }

    #[test]
    fn an_event_reads_back(name in any::<String>(), args in vec(json(), 0..4)) {
        let text = packet::event(&name, &args.join(","));
        let json = match packet::decode(&text) {
            Ok(Incoming::Event { ack_id: None, json }) => json,
            other => panic!("{other:?}"),
        };
        let event = packet::decode_event(json).expect("an event");
        prop_assert_eq!(event.name, name);
        prop_assert_eq!(event.args.into_iter().map(RawValue::get).collect::<Vec<_>>(), args);
    }

    #[test]
    fn an_acknowledgement_reads_back(id in any::<u64>(), args in vec(json(), 0..4)) {
        let text = packet::ack(id, &args.join(","));
        let json = format!("[{}]", args.join(","));
        prop_assert_eq!(packet::decode(&text), Ok(Incoming::Ack { ack_id: id, json: &json }));
    }

    #[test]
    fn a_packet_of_anything_is_taken_or_refused(
        text in nearly("[0-7]([0-9]{1,2}-)?(/[a-z?]{0,3},?)?[0-9]{0,3}[\\[{\":,a0-9}\\]]{0,12}"),
    ) {
        let text = String::from_utf8_lossy(&text);
        let _ = engine::decode(&text);
        match packet::decode(&text) {
            Ok(Incoming::Connect { auth }) => {
                prop_assert!(auth.is_empty() || serde_json::from_str::<serde_json::Map<_, _>>(auth).is_ok());
            }
            Ok(Incoming::Event { json, .. }) => {
                let expected = serde_json::from_str::<Vec<serde_json::Value>>(json)
                    .is_ok_and(|elements| elements.first().is_some_and(serde_json::Value::is_string));
                prop_assert_eq!(packet::decode_event(json).is_ok(), expected);
            }
            Ok(Incoming::Ack { json, .. }) => {
                prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(json).is_ok());
            }
            _ => {}
        }
    }
}
