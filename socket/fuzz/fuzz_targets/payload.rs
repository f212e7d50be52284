//! Bodies of HTTP long-polling in both revisions: anything is taken or refused, and what is written reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socket::codec::{Revision, engine, payload};

fuzz_target!(|body: &[u8]| {
    for (revision, octets) in
        [(Revision::V3, false), (Revision::V3, true), (Revision::V4, false), (Revision::V4, true)]
    {
        let packets: Vec<_> = payload::decode(revision, body, octets).collect();
        assert!(!packets.is_empty() && packets.len() <= body.len().max(1));
        let good = packets.iter().take_while(|packet| packet.is_ok()).count();
        assert!(good + 1 >= packets.len(), "nothing comes after an error");
    }
    let Ok(text) = std::str::from_utf8(body) else { return };
    // Every line is a packet.
    let lines: Vec<_> =
        text.split('\n').filter(|line| engine::decode(line).is_ok() && !line.contains('\u{1e}')).collect();
    if lines.is_empty() {
        return;
    }
    for revision in [Revision::V3, Revision::V4] {
        let mut body = String::new();
        payload::encode(revision, lines.iter().copied(), &mut body);
        let read: Vec<_> = payload::decode(revision, body.as_bytes(), false).collect();
        let sent: Vec<_> = lines.iter().map(|line| engine::decode(line)).collect();
        assert_eq!(read, sent);
    }
});
