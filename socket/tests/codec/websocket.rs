//! The rules of RFC 6455, case by case.

use std::ops::ControlFlow;

use socket::codec::websocket::{Assembler, Violation};

use crate::frames::{BINARY, CLOSE, CONTINUATION, LAST, PING, PONG, Said, TEXT, frame, masked, read, text};

const MAX: usize = 1_000;

/// The messages of a stream that ends without a violation.
fn messages(frames: &[Vec<u8>]) -> Vec<Said> {
    let (said, outcome) = read(&frames.concat(), MAX);
    assert_eq!(outcome, Ok(()));
    said
}

/// What a stream is refused for. One frame before it is read, and none behind it.
fn refusal(frames: &[Vec<u8>]) -> Violation {
    let frames = [&[frame(LAST | TEXT, b"before")], frames, &[frame(LAST | TEXT, b"behind")]].concat();
    let (said, outcome) = read(&frames.concat(), MAX);
    assert_eq!(said.first(), Some(&text("before")));
    assert!(!said.contains(&text("behind")), "{said:?}");
    outcome.expect_err("a violation")
}

#[test]
fn an_idle_connection_costs_a_pointer() {
    assert_eq!(size_of::<Assembler>(), 8);
    assert!(Assembler::new().is_empty());
    assert_eq!(Assembler::new().kept(), 0);
}

#[test]
fn whole_frames_are_messages() {
    let said = messages(&[
        frame(LAST | TEXT, "é𝄞".as_bytes()),
        frame(LAST | TEXT, b""),
        frame(LAST | BINARY, b"\xff\xfe"),
        frame(LAST | PING, b""),
        frame(LAST | PING, &[0xff; 125]),
        frame(LAST | PONG, b"x"),
        masked(LAST | TEXT, b"not masked at all", [0; 4]),
        frame(LAST | TEXT, "x".repeat(MAX).as_bytes()),
        frame(LAST | CLOSE, b"\x03\xe8bye"),
    ]);
    let expected = [
        text("é𝄞"),
        text(""),
        Said::Binary,
        Said::Ping(vec![]),
        Said::Ping(vec![0xff; 125]),
        Said::Pong,
        text("not masked at all"),
        text(&"x".repeat(MAX)),
        Said::Close(Some(1000)),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_whole_frame_is_neither_kept_nor_copied() {
    let mut bytes = frame(LAST | TEXT, b"hello");
    let range = bytes.as_ptr_range();
    let mut assembler = Assembler::new();
    let outcome = assembler.feed(&mut bytes, MAX, &mut |message| {
        if let socket::codec::websocket::Message::Text(text) = message {
            assert!(range.contains(&text.as_ptr()));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(outcome, Ok(()));
    assert!(assembler.is_empty());
}

#[test]
fn fragments_become_one_message_and_control_frames_go_between() {
    let said = messages(&[
        frame(TEXT, b"a\xc3"),
        frame(LAST | PING, b"1"),
        frame(CONTINUATION, b""),
        frame(LAST | PONG, b"2"),
        frame(CONTINUATION, b"\xa9b"),
        frame(LAST | CONTINUATION, b"c"),
        frame(BINARY, b"\xff"),
        frame(LAST | CONTINUATION, b"\xff"),
        frame(TEXT, b""),
        frame(LAST | CONTINUATION, b""),
    ]);
    assert_eq!(said, [Said::Ping(b"1".to_vec()), Said::Pong, text("aébc"), Said::Binary, text("")]);
}

#[test]
fn fragments_out_of_order_are_refused() {
    for frames in [
        vec![frame(LAST | CONTINUATION, b"a")],
        vec![frame(CONTINUATION, b"a")],
        vec![frame(TEXT, b"a"), frame(LAST | TEXT, b"b")],
        vec![frame(TEXT, b"a"), frame(BINARY, b"b")],
        vec![frame(BINARY, b"a"), frame(LAST | BINARY, b"b")],
        vec![frame(TEXT, b"a"), frame(LAST | CONTINUATION, b"b"), frame(LAST | CONTINUATION, b"c")],
    ] {
        assert!(matches!(refusal(&frames), Violation::Protocol(_)), "{frames:?}");
    }
}

#[test]
fn frames_against_the_rules_are_refused() {
    let mut plain = frame(LAST | TEXT, b"a");
    plain[1] &= 0x7f;
    for frames in [
        vec![plain],
        vec![frame(LAST | 3, b"")],
        vec![frame(LAST | 11, b"")],
        vec![frame(LAST | 0x40 | TEXT, b"")],
        vec![frame(LAST | 0x20 | TEXT, b"")],
        vec![frame(LAST | 0x10 | PING, b"")],
        vec![frame(PING, b"")],
        vec![frame(CLOSE, b"")],
        vec![frame(LAST | PING, &[0; 126])],
        vec![vec![LAST | TEXT, 0x80 | 126, 0, 1, 0, 0, 0, 0, b'a']],
        vec![vec![LAST | TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'a']],
    ] {
        assert!(matches!(refusal(&frames), Violation::Protocol(_)), "{frames:?}");
    }
}

#[test]
fn closes_are_checked() {
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
    {
        let close = [&code.to_be_bytes(), "grüße".as_bytes()].concat();
        assert_eq!(messages(&[frame(LAST | CLOSE, &close)]), [Said::Close(Some(code))]);
    }
    assert_eq!(messages(&[frame(LAST | CLOSE, b"")]), [Said::Close(None)]);
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
        let refused = refusal(&[frame(LAST | CLOSE, &code.to_be_bytes())]);
        assert!(matches!(refused, Violation::Protocol(_)), "{code}");
    }
    assert!(matches!(refusal(&[frame(LAST | CLOSE, b"\x03")]), Violation::Protocol(_)));
    assert_eq!(refusal(&[frame(LAST | CLOSE, b"\x03\xe8\xff")]), Violation::NotUtf8);
}

#[test]
fn text_must_be_utf8_as_a_whole() {
    for bad in [&b"\xff"[..], b"a\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x82"] {
        assert_eq!(refusal(&[frame(LAST | TEXT, bad)]), Violation::NotUtf8, "{bad:?}");
        let (begin, end) = bad.split_at(bad.len() / 2);
        let fragments = [frame(TEXT, begin), frame(LAST | CONTINUATION, end)];
        assert_eq!(refusal(&fragments), Violation::NotUtf8, "{bad:?}");
    }
}

#[test]
fn text_that_cannot_become_utf8_is_refused_before_it_ends() {
    let (said, outcome) = read(&frame(TEXT, b"a\xc3("), MAX);
    assert_eq!((said, outcome), (vec![], Err(Violation::NotUtf8)));
    let whole = frame(LAST | TEXT, b"\xed\xa0\x80 and much more");
    assert_eq!(read(&whole[..7], MAX).1, Ok(()));
    assert_eq!(read(&whole[..8], MAX).1, Err(Violation::NotUtf8));
}

#[test]
fn what_is_too_large_is_refused_at_the_head() {
    for (first, before) in [
        (LAST | TEXT, None),
        (LAST | BINARY, None),
        (LAST | CONTINUATION, Some(TEXT)),
        (CONTINUATION, Some(BINARY)),
    ] {
        let before = before.map(|opcode| frame(opcode, b"12345678")).unwrap_or_default();
        let room = MAX - if before.is_empty() { 0 } else { 8 };
        let head = |length: usize| [&before[..], &frame(first, &vec![0; length])[..8]].concat();
        assert_eq!(read(&head(room), MAX).1, Ok(()));
        assert_eq!(read(&head(room + 1), MAX).1, Err(Violation::TooLarge));
    }
    let huge = [LAST | TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(read(&huge, usize::MAX).1, Ok(()));
    assert_eq!(read(&huge, MAX).1, Err(Violation::TooLarge));
}

#[test]
fn memory_follows_what_has_arrived() {
    const LARGE: usize = 1 << 20;
    let bytes = frame(LAST | TEXT, &vec![b'a'; LARGE]);
    let mut assembler = Assembler::new();
    let mut feed = |bytes: &[u8]| {
        let outcome = assembler.feed(&mut bytes.to_vec(), LARGE, &mut |_| ControlFlow::Continue(()));
        assert_eq!(outcome, Ok(()));
        assembler.kept()
    };
    let (begin, rest) = bytes.split_at(114);
    assert_eq!(feed(begin), 100);
    let (middle, end) = rest.split_at(150);
    assert!(feed(middle) <= 300);
    assert_eq!(feed(end), 0);
}

#[test]
fn small_fragments_do_not_copy_the_message_again_and_again() {
    let mut assembler = Assembler::new();
    let mut sizes = std::collections::BTreeSet::new();
    for first in std::iter::once(TEXT).chain([CONTINUATION; 50_000]) {
        let outcome = assembler.feed(&mut frame(first, b"a"), 100_000, &mut |_| ControlFlow::Continue(()));
        assert_eq!(outcome, Ok(()));
        sizes.insert(assembler.kept());
    }
    assert!(sizes.len() < 20, "{sizes:?}");
}

#[test]
fn what_a_break_leaves_is_taken_first() {
    let mut bytes = [
        frame(LAST | TEXT, b"1"),
        frame(TEXT, b"2"),
        frame(LAST | PING, b"3"),
        frame(LAST | CONTINUATION, b"4"),
        frame(LAST | TEXT, b"5"),
    ]
    .concat();
    let half = bytes.split_off(bytes.len() - 3);
    let mut assembler = Assembler::new();
    let mut one = |bytes: &[u8]| {
        let mut said = Vec::new();
        let outcome = assembler.feed(&mut bytes.to_vec(), MAX, &mut |message| {
            said.push(Said::from(message));
            ControlFlow::Break(())
        });
        assert_eq!(outcome, Ok(()));
        (said, assembler.is_empty())
    };
    assert_eq!(one(&bytes), (vec![text("1")], false));
    assert_eq!(one(&[]), (vec![Said::Ping(b"3".to_vec())], false));
    assert_eq!(one(&half), (vec![text("24")], false));
    assert_eq!(one(&[]), (vec![text("5")], true));
    assert_eq!(one(&[]), (vec![], true));
}

#[test]
fn a_violation_lets_go_of_what_was_kept() {
    let mut bytes = [frame(TEXT, b"abc"), frame(LAST | TEXT, b"def")].concat();
    let mut assembler = Assembler::new();
    assert!(assembler.feed(&mut bytes, MAX, &mut |_| ControlFlow::Continue(())).is_err());
    assert!(assembler.is_empty());
}

#[test]
fn violations_have_their_close_codes() {
    let codes = [Violation::Protocol("x"), Violation::NotUtf8, Violation::TooLarge].map(|v| v.close_code());
    assert_eq!(codes, [1002, 1007, 1009]);
}
