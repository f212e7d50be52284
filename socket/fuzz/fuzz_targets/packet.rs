//! Socket.IO packets: anything is taken or refused, a second reader of JSON agrees, and what is written reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, value::RawValue};
use socket::codec::packet::{self, Event, Incoming};

fuzz_target!(|text: &str| {
    match packet::decode(text) {
        Ok(Incoming::Connect { auth }) => {
            assert!(auth.is_empty() || serde_json::from_str::<&RawValue>(auth).is_ok());
        }
        Ok(Incoming::Event { json, .. }) => match packet::decode_event(json) {
            Ok(event) => again(&event),
            // It takes no less than what can be decoded at all: not too deep, no number out of range.
            Err(_) => {
                let elements = serde_json::from_str::<Vec<Value>>(json);
                assert!(!elements.is_ok_and(|elements| elements.first().is_some_and(Value::is_string)));
            }
        },
        Ok(Incoming::Ack { ack_id, json }) => {
            let args =
                json.trim().strip_prefix('[').and_then(|json| json.strip_suffix(']')).expect("an array");
            let text = packet::ack(ack_id, args);
            assert!(
                matches!(packet::decode(&text), Ok(Incoming::Ack { ack_id: again, .. }) if again == ack_id)
            );
        }
        Ok(_) => {}
        Err(_) => {
            let auth =
                text.strip_prefix('0').is_some_and(|auth| serde_json::from_str::<Map<_, _>>(auth).is_ok());
            assert!(!auth, "an auth that can be decoded is taken");
        }
    }
});

/// The event, written and read once more.
fn again(event: &Event<'_>) {
    let args = event.args.iter().map(|argument| argument.get()).collect::<Vec<_>>();
    let text = packet::event(&event.name, &args.join(","));
    let Ok(Incoming::Event { ack_id: None, json }) = packet::decode(&text) else {
        panic!("{text} is no event")
    };
    let read = packet::decode_event(json).expect("an event");
    assert_eq!(read.name, event.name);
    assert_eq!(read.args.iter().map(|argument| argument.get()).collect::<Vec<_>>(), args);
}
