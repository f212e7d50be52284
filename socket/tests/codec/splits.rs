//! Any split of a stream gives the same messages, and no more is kept than was promised.

use std::ops::ControlFlow;

use proptest::{collection::vec, prelude::*, sample::Index};
use socket::codec::websocket::{Assembler, Violation};

use crate::frames::{BINARY, CLOSE, CONTINUATION, LAST, PING, PONG, Said, TEXT, masked, read};

/// Larger than every message that [`message`] makes.
const MAX: usize = 200_000;

/// What is kept beyond the message: some of a head, or of a control frame between fragments.
const BESIDE: usize = 130;

/// Frames of a client, and what they say.
#[derive(Debug, Clone, Default)]
struct Stream {
    bytes: Vec<u8>,
    said: Vec<Said>,
}

fn control() -> impl Strategy<Value = Stream> {
    let of = |first: u8, payload: &[u8], mask, said| Stream {
        bytes: masked(LAST | first, payload, mask),
        said: vec![said],
    };
    prop_oneof![
        (vec(any::<u8>(), 0..=125), any::<[u8; 4]>()).prop_map(move |(payload, mask)| of(
            PING,
            &payload,
            mask,
            Said::Ping(payload.clone())
        )),
        (vec(any::<u8>(), 0..=125), any::<[u8; 4]>()).prop_map(move |(payload, mask)| of(
            PONG,
            &payload,
            mask,
            Said::Pong
        )),
        any::<[u8; 4]>().prop_map(move |mask| of(CLOSE, b"\x03\xe9off", mask, Said::Close(Some(1001)))),
    ]
}

/// Text of lengths on both sides of where the head's form changes.
fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => ".{0,40}",
        2 => ("\\PC", 100..140_usize).prop_map(|(unit, times)| unit.repeat(times)),
        1 => ("\\PC", 21_000..23_000_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

/// A data message in fragments that end anywhere, with control frames between them.
fn message() -> impl Strategy<Value = Stream> {
    let content = prop_oneof![
        4 => some_text().prop_map(|text| (TEXT, text.clone().into_bytes(), Said::Text(text))),
        1 => vec(any::<u8>(), 0..300).prop_map(|bytes| (BINARY, bytes, Said::Binary)),
    ];
    let cuts = vec((any::<Index>(), any::<[u8; 4]>(), vec(control(), 0..3)), 0..4);
    (content, cuts, any::<[u8; 4]>()).prop_map(|((opcode, payload, said), cuts, mask)| {
        let mut cuts: Vec<_> = cuts
            .into_iter()
            .map(|(at, mask, between)| (at.index(payload.len() + 1), mask, between))
            .collect();
        cuts.sort_by_key(|(at, ..)| *at);
        let mut stream = Stream::default();
        let (mut begin, mut first) = (0, opcode);
        for (at, mask, between) in cuts {
            stream.bytes.extend(masked(first, &payload[begin..at], mask));
            (begin, first) = (at, CONTINUATION);
            for control in between {
                stream.bytes.extend(control.bytes);
                stream.said.extend(control.said);
            }
        }
        stream.bytes.extend(masked(LAST | first, &payload[begin..], mask));
        stream.said.push(said);
        stream
    })
}

fn stream() -> impl Strategy<Value = Stream> {
    vec(prop_oneof![3 => message(), 1 => control()], 0..8).prop_map(|parts| {
        parts.into_iter().fold(Stream::default(), |mut whole, part| {
            whole.bytes.extend(part.bytes);
            whole.said.extend(part.said);
            whole
        })
    })
}

/// How a stream is handed over.
#[derive(Debug, Clone)]
struct Way {
    /// Lengths of the pieces, again and again.
    pieces: Vec<usize>,
    /// After which messages to break, again and again.
    breaks: Vec<bool>,
    /// All that a break left is asked for before the next piece.
    drained: bool,
}

fn way() -> impl Strategy<Value = Way> {
    let pieces = prop_oneof![vec(1..4_usize, 1..4), vec(1..300_usize, 1..6), vec(1..70_000_usize, 1..6)];
    (pieces, vec(any::<bool>(), 1..5), any::<bool>()).prop_map(|(pieces, breaks, drained)| Way {
        pieces,
        breaks,
        drained,
    })
}

/// What comes out, how it ended, whether nothing was left, and the most that was kept while no break left anything.
fn hand_over(bytes: &[u8], way: &Way, max: usize) -> (Vec<Said>, Result<(), Violation>, bool, usize) {
    let mut assembler = Assembler::new();
    let mut said = Vec::new();
    let mut most = 0;
    let mut pieces = way.pieces.iter().cycle();
    let mut left = bytes;
    let mut pending = false;
    while !left.is_empty() || pending {
        let length = pieces.next().copied().unwrap_or(1).min(left.len());
        let (piece, rest) =
            if pending && (way.drained || left.is_empty()) { (&[][..], left) } else { left.split_at(length) };
        left = rest;
        pending = false;
        let outcome = assembler.feed(&mut piece.to_vec(), max, &mut |message| {
            assert!(!pending, "nothing comes after a break");
            said.push(message.into());
            pending = way.breaks[(said.len() - 1) % way.breaks.len()];
            if pending { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if outcome.is_err() {
            return (said, outcome, assembler.is_empty(), most);
        }
        assert!(!assembler.is_empty() || assembler.kept() == 0);
        if !pending {
            most = most.max(assembler.kept());
        }
    }
    (said, Ok(()), assembler.is_empty(), most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_split_gives_the_messages_that_were_sent(stream in stream(), way in way()) {
        let (said, outcome, empty, most) = hand_over(&stream.bytes, &way, MAX);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(said, stream.said);
        prop_assert!(empty);
        prop_assert!(most <= MAX + BESIDE);
    }

    #[test]
    fn any_split_finds_the_same_violation(
        stream in stream(),
        way in way(),
        changes in vec((any::<Index>(), any::<u8>()), 0..3),
        end in any::<Index>(),
        max in prop_oneof![Just(MAX), 0..400_usize],
    ) {
        let mut bytes = stream.bytes;
        for (at, value) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        bytes.truncate(bytes.len() - end.index(bytes.len() + 1) / 3);
        let (said, outcome) = read(&bytes, max);
        let split = hand_over(&bytes, &way, max);
        prop_assert_eq!((split.0, split.1), (said, outcome));
        prop_assert!(split.1.is_ok() || split.2, "a violation lets go of what was kept");
        prop_assert!(split.3 <= max + BESIDE, "{} kept of {}", split.3, max);
    }

    #[test]
    fn random_bytes_are_taken_or_refused(bytes in vec(any::<u8>(), 0..2_000), way in way(), max in 0..2_000_usize) {
        let (said, outcome) = read(&bytes, max);
        let split = hand_over(&bytes, &way, max);
        prop_assert_eq!((split.0, split.1), (said, outcome));
        prop_assert!(split.3 <= max + BESIDE);
    }
}
