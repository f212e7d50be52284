//! Reading, and finding by time.

use std::sync::Arc;

use wire::{Destination, MessageId};

use super::{Place, support::*};
use crate::{Append, Author, Direction, Head, PageRequest, Store};

async fn ten(store: &impl Store) {
    append_all(store, (0..10).map(|_| to_user("a", "b")).collect()).await;
}

fn backwards(request: PageRequest) -> PageRequest {
    PageRequest { direction: Direction::Backwards, ..request }
}

/// Also a body as the sender wrote it, to the byte.
pub async fn everything_of_a_message_is_kept(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g:1", ["a"]).await;
    let bodies = ["{ \"b\":1,  \"a\":[1.0, 12345678901234567890, \"é\\u0000☃\"] }", "null", "\"\"", "0.1e-3"];
    let mut sent = Vec::new();
    for (n, json) in bodies.into_iter().enumerate() {
        let base = if n % 2 == 0 { to_user("b", "a") } else { to_group("a", "g:1") };
        sent.push(Append {
            cid: Some(format!("c {n} ☃").into()),
            author: Author { session: u64::MAX - n as u64, ..from_device("pad:1", 0, base.clone()).author },
            kind: if n == 0 { "text".into() } else { "image/png ☃".into() },
            body: body(json),
            ..base
        });
    }
    sent.push(Append { to: Destination::User(user("b")), ..to_user("b", "a") });
    sent.push(Append { id: MessageId(u64::MAX >> 1), ..to_user("b", "b") });
    append_all(&store, sent.clone()).await;
    for append in sent {
        let stored = read_all(&store, &append.conversation).await;
        let stored = stored.iter().find(|message| message.id == append.id).expect("it is stored");
        assert_eq!(stored.conversation, append.conversation);
        assert_eq!(stored.cid, append.cid);
        assert_eq!(stored.from, append.from);
        assert_eq!(stored.device, append.author.device);
        assert_eq!(stored.origin_session, append.author.session);
        assert_eq!(stored.to, append.to);
        assert_eq!(stored.kind, append.kind);
        assert_eq!(stored.body.get(), append.body.get());
    }
}

/// Page by page until nothing is left.
pub async fn forwards_from_the_beginning(place: &impl Place) {
    let store = place.open().await;
    ten(&store).await;
    let all = everything(&direct("a", "b"));
    let mut after = 0;
    for (expected, more) in [(vec![1, 2, 3, 4], true), (vec![5, 6, 7, 8], true), (vec![9, 10], false)] {
        let page = page(&store, PageRequest { after, limit: 4, ..all.clone() }).await;
        assert_eq!((seqs(&page.messages), page.more), (expected, more));
        assert_eq!((page.first_seq, page.last_seq), (1, 10));
        after = page.messages.last().expect("not empty").seq;
    }
    let exactly = page(&store, PageRequest { limit: 10, ..all }).await;
    assert_eq!((exactly.messages.len(), exactly.more), (10, false));
}

/// The newest first, each page ascending.
pub async fn backwards_from_the_end(place: &impl Place) {
    let store = place.open().await;
    ten(&store).await;
    let all = backwards(everything(&direct("a", "b")));
    let mut before = u64::MAX;
    for (expected, more) in [(vec![7, 8, 9, 10], true), (vec![3, 4, 5, 6], true), (vec![1, 2], false)] {
        let page = page(&store, PageRequest { before, limit: 4, ..all.clone() }).await;
        assert_eq!((seqs(&page.messages), page.more), (expected, more));
        before = page.messages.first().expect("not empty").seq;
    }
}

/// `after` and `before` are not of the interval themselves.
pub async fn an_interval_bounds_both_ways(place: &impl Place) {
    let store = place.open().await;
    ten(&store).await;
    let between =
        |after, before, limit| PageRequest { after, before, limit, ..everything(&direct("a", "b")) };
    for (request, expected, more) in [
        (between(3, 7, 9), vec![4, 5, 6], false),
        (between(3, 7, 2), vec![4, 5], true),
        (backwards(between(3, 7, 2)), vec![5, 6], true),
        (backwards(between(3, 7, 3)), vec![4, 5, 6], false),
        (between(9, 99, 5), vec![10], false),
        (between(10, u64::MAX, 5), vec![], false),
        (between(u64::MAX, u64::MAX, 5), vec![], false),
        (between(0, 0, 5), vec![], false),
        (backwards(between(0, 1, 5)), vec![], false),
        (between(5, 6, 5), vec![], false),
        (between(7, 3, 5), vec![], false),
    ] {
        let page = page(&store, request.clone()).await;
        assert_eq!((seqs(&page.messages), page.more), (expected, more), "{request:?}");
        assert_eq!(page.last_seq, 10);
    }
}

/// A page ends with the message that reaches the bound; one message there is always.
pub async fn bytes_bound_a_page(place: &impl Place) {
    let store = place.open().await;
    let ten_bytes = || Append { body: body("\"12345678\""), ..to_user("a", "b") };
    append_all(&store, (0..5).map(|_| ten_bytes()).collect()).await;
    let bounded = |max_bytes| PageRequest { max_bytes, ..everything(&direct("a", "b")) };
    for (max_bytes, expected) in [(0, 1), (1, 1), (10, 1), (11, 2), (30, 3), (49, 5), (50, 5), (51, 5)] {
        let forwards = page(&store, bounded(max_bytes)).await;
        assert_eq!(seqs(&forwards.messages), (1..=expected).collect::<Vec<_>>(), "{max_bytes}");
        assert_eq!(forwards.more, expected < 5);
        let back = page(&store, backwards(bounded(max_bytes))).await;
        assert_eq!(seqs(&back.messages), (6 - expected..=5).collect::<Vec<_>>(), "{max_bytes}");
        assert_eq!(back.more, expected < 5);
    }
}

/// Of a conversation that nobody has written to.
pub async fn nothing_is_an_empty_page(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    for conversation in [direct("a", "b"), of_group("g"), of_group("none")] {
        let page = page(&store, everything(&conversation)).await;
        assert_eq!((page.messages.len(), page.more, page.last_seq, page.first_seq), (0, false, 0, 1));
    }
    assert!(store.pages(Vec::new()).await.expect("the store works").is_empty());
}

/// The answers are in the order of the questions.
pub async fn many_requests_keep_their_order(place: &impl Place) {
    let store = place.open().await;
    for n in 1..=20 {
        append_all(&store, (0..n).map(|_| to_user("a", &format!("u{n}"))).collect()).await;
    }
    let conversations: Vec<_> = (0..=20).rev().map(|n| direct("a", &format!("u{n}"))).collect();
    let expected: Vec<u64> = (0..=20).rev().collect();
    let pages = store.pages(conversations.iter().map(everything).collect()).await.expect("the store works");
    assert!(pages.iter().map(|page| page.messages.len() as u64).eq(expected.iter().copied()));
    let heads = store.heads(conversations.clone()).await.expect("the store works");
    assert!(heads.iter().map(|head| head.last_seq).eq(expected.iter().copied()));
    let seqs = store.seqs_at(i64::MAX, conversations).await.expect("the store works");
    assert_eq!(seqs, expected);
}

/// With the time of the last message.
pub async fn heads_tell_how_far_it_has_come(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    let version = membership(&store, "a", "g").await.members_version;
    assert!(version > 0, "adding a member is a change");
    let direct_at = append(&store, to_user("a", "b")).await.message.sent_at;
    append(&store, to_group("a", "g")).await;
    let group_at = append(&store, to_group("a", "g")).await.message.sent_at;
    let heads =
        store.heads(vec![of_group("g"), direct("x", "y"), direct("a", "b")]).await.expect("the store works");
    assert_eq!(
        heads,
        [
            Head { last_seq: 2, members_version: version, last_at: group_at, rev: 0 },
            Head { last_seq: 0, members_version: 0, last_at: 0, rev: 0 },
            Head { last_seq: 1, members_version: 0, last_at: direct_at, rev: 0 },
        ]
    );
}

/// For each time, what a walk through all messages would find.
pub async fn a_time_leads_to_a_seq(place: &impl Place) {
    let store = Arc::new(place.open().await);
    for _ in 0..40 {
        append(&*store, to_user("a", "b")).await;
    }
    let stored = read_all(&*store, &direct("a", "b")).await;
    let (first, last) = (stored[0].sent_at, stored[39].sent_at);
    for at in (first - 1..=last + 1).chain([i64::MIN, 0, i64::MAX]) {
        let expected = stored.iter().filter(|message| message.sent_at <= at).count() as u64;
        let found =
            store.seqs_at(at, vec![direct("a", "b"), direct("x", "y")]).await.expect("the store works");
        assert_eq!(found, [expected, 0], "at {at}");
    }
}

/// By the store's own clock, which is the one of `sent_at`.
pub async fn what_was_sent_lately_is_counted(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    let count =
        async |window_ms| store.sent_within(window_ms, &of_group("g")).await.expect("the store works");
    for window_ms in [0, 60_000, u64::MAX] {
        assert_eq!(count(window_ms).await, 0, "nothing was sent");
    }
    let earlier = append_all(&store, (0..3).map(|_| to_group("a", "g")).collect()).await;
    // The store's clock shows in `sent_at` alone, so messages are sent until it has gone on.
    let went_on = earlier[2].message.sent_at + 500;
    let later = loop {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let sent = append(&store, to_group("a", "g")).await.message;
        if sent.sent_at >= went_on {
            break sent;
        }
    };
    assert_eq!(count(600_000).await, later.seq, "all of it was within ten minutes");
    assert_eq!(count(u64::MAX).await, later.seq);
    // Between asking and counting time may pass, so the window reaches back to before `later`, not to a fixed place.
    let lately = count(250).await;
    assert!(lately <= later.seq - 3, "the first three are at least 500 ms old: {lately} of {}", later.seq);
    let long_ago = store.sent_within(600_000, &direct("x", "y")).await;
    assert_eq!(long_ago.expect("the store works"), 0, "of a conversation that nobody has written to");
}

/// However the colons fall.
pub async fn names_with_colons_are_different_conversations(place: &impl Place) {
    let store = place.open().await;
    let pairs =
        [("a:b", "c"), ("a", "b:c"), ("a", "b"), ("a:", "b"), ("a", ":b"), ("g:x", "a"), ("u:a:b", "u:a:b")];
    for (n, (one, other)) in (1..).zip(pairs) {
        append_all(&store, (0..n).map(|_| to_user(one, other)).collect()).await;
    }
    make_group(&store, "u:a:b", ["a:b"]).await;
    append(&store, to_group("a:b", "u:a:b")).await;
    for (n, (one, other)) in (1..).zip(pairs) {
        let stored = read_all(&store, &direct(one, other)).await;
        assert_eq!(seqs(&stored), (1..=n).collect::<Vec<_>>(), "{one} {other}");
        assert!(stored.iter().all(|message| message.from == user(one)));
        assert!(inbox(&store, one).await.direct.contains(&(direct(one, other), n)));
    }
    assert_eq!(inbox(&store, "a:b").await.groups, [group("u:a:b")]);
}
