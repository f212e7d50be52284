//! Frames of a client: cut anywhere and broken off after any message, they say the same as in one piece.
//!
//! The first four bytes of an input say how: the largest message, the length of the pieces, where to break, whether what a
//! break leaves is asked for at once. The stream follows.

#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use socket::codec::websocket::{Assembler, Control, Message, Violation, control};

/// Kept beside a message: some of a head, or of a control frame between fragments.
const BESIDE: usize = 130;

#[derive(Debug, PartialEq)]
enum Said {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fn said(message: Message<'_>) -> Said {
    match message {
        Message::Text(text) => Said::Text(text.to_owned()),
        Message::Binary => Said::Binary,
        Message::Ping(payload) => {
            assert!(control(Control::Pong, payload).as_slice().ends_with(payload));
            Said::Ping(payload.to_owned())
        }
        Message::Pong => Said::Pong,
        Message::Close(code) => Said::Close(code),
    }
}

fn in_one_piece(stream: &[u8], max: usize) -> (Vec<Said>, Result<(), Violation>) {
    let mut all = Vec::new();
    let outcome = Assembler::new().feed(&mut stream.to_vec(), max, &mut |message| {
        all.push(said(message));
        ControlFlow::Continue(())
    });
    (all, outcome)
}

fn in_pieces(
    stream: &[u8],
    max: usize,
    piece: u8,
    breaks: u8,
    drained: bool,
) -> (Vec<Said>, Result<(), Violation>) {
    let mut assembler = Assembler::new();
    let (mut all, mut pending, mut left) = (Vec::new(), false, stream);
    while pending || !left.is_empty() {
        let length = if pending && drained { 0 } else { left.len().min(1 + usize::from(piece)) };
        let (now, later) = left.split_at(length);
        left = later;
        pending = false;
        let outcome = assembler.feed(&mut now.to_vec(), max, &mut |message| {
            assert!(!pending, "nothing comes after a break");
            all.push(said(message));
            pending = breaks >> (all.len() % 8) & 1 == 1;
            if pending { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(outcome.is_ok() || assembler.is_empty());
        assert!(pending || assembler.kept() <= max + BESIDE, "{} kept", assembler.kept());
        if outcome.is_err() {
            return (all, outcome);
        }
    }
    (all, Ok(()))
}

fuzz_target!(|data: &[u8]| {
    let Some((&[max, piece, breaks, drained], stream)) = data.split_first_chunk() else { return };
    let max = usize::from(max) * 4;
    let whole = in_one_piece(stream, max);
    assert_eq!(in_pieces(stream, max, piece, breaks, drained & 1 == 1), whole);
    assert_eq!(in_pieces(stream, max, 0, 0, false), whole);
});
