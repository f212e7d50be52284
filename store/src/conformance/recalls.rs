//! Recalled messages.

use std::sync::Arc;

use wire::{Change, Message, MessageId};

use super::{Place, support::*};
use crate::{Append, Author, CHANGES_KEPT, Direction, Head, PageRequest, RecallRefusal};

fn bodies(messages: &[Arc<Message>]) -> Vec<&str> {
    messages.iter().map(|message| message.body.get()).collect()
}

fn numbered(count: usize) -> Vec<Append> {
    (1..=count).map(|n| Append { body: body(&n.to_string()), ..to_user("a", "b") }).collect()
}

/// Its body, for everybody; what is left keeps its place.
pub async fn a_recalled_message_is_a_tombstone(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    let full = Append { kind: "image".into(), ..with_cid("c", from_device("phone", 7, to_user("a", "b"))) };
    let first = append(&store, full).await.message;
    let done = recall(&store, "a", &ab, 1).await.expect("recalled");
    assert_eq!(done.id, first.id);
    let left = read_all(&store, &ab).await.remove(0);
    assert_eq!((left.body.get(), left.seq, left.id, left.sent_at), ("null", 1, first.id, first.sent_at));
    assert_eq!((&left.from, &left.device, &left.to), (&first.from, &first.device, &first.to));
    assert_eq!((&left.cid, &left.kind), (&first.cid, &first.kind));
    assert_eq!(left.origin_session, first.origin_session);
    assert!(left.recalled_at.is_some_and(|at| at >= first.sent_at));
    assert_eq!(first.recalled_at, None);
    let changes = changes(&store, &ab, 0).await;
    assert_eq!(changes.changes[0].change, Change::Recalled { seq: 1, id: first.id });
    assert_eq!(append(&store, to_user("b", "a")).await.message.seq, 2, "its place is taken");
}

/// Wherever in a page they are.
pub async fn pages_hold_tombstones_in_their_places(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    append_all(&store, numbered(30)).await;
    for seq in [1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 30] {
        recall(&store, "a", &ab, seq).await.expect("recalled");
    }
    let all = read_all(&store, &ab).await;
    assert_contiguous(&all);
    for message in &all {
        let expected = if message.recalled_at.is_some() { "null".into() } else { message.seq.to_string() };
        assert_eq!(message.body.get(), expected);
    }
    assert_eq!(all.iter().filter(|message| message.recalled_at.is_some()).count(), 14);
    for limit in [1, 2, 3, 7, 8, 9, 30] {
        for (after, before) in [(0, u64::MAX), (4, 15), (5, 14), (12, 31), (0, 3), (29, u64::MAX)] {
            let last = before.min(31);
            let request = PageRequest { after, before, limit, ..everything(&ab) };
            let found = page(&store, request.clone()).await;
            let expected: Vec<u64> = (after + 1..last).take(limit).collect();
            assert_eq!(seqs(&found.messages), expected, "{limit} after {after}, before {before}");
            assert_eq!(found.more, expected.last().is_some_and(|seq| seq + 1 < last));
            let request = PageRequest { direction: Direction::Backwards, ..request };
            let found = page(&store, request).await;
            let mut expected: Vec<u64> = (after + 1..last).rev().take(limit).collect();
            expected.reverse();
            assert_eq!(seqs(&found.messages), expected, "{limit} before {before}, after {after}");
            assert_eq!(found.more, expected.first().is_some_and(|seq| seq - 1 > after));
        }
    }
    let Head { last_seq, .. } = store.heads(vec![ab]).await.expect("the store works").remove(0);
    assert_eq!(last_seq, 30);
}

/// All of them.
pub async fn a_conversation_may_be_recalled_as_a_whole(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    append_all(&store, numbered(3)).await;
    for seq in 1..=3 {
        recall(&store, "a", &ab, seq).await.expect("recalled");
    }
    assert_eq!(bodies(&read_all(&store, &ab).await), ["null"; 3]);
    assert_eq!(append(&store, to_user("a", "b")).await.message.seq, 4);
    assert_eq!(bodies(&read_all(&store, &ab).await), ["null", "null", "null", "\"hello\""]);
}

/// Each with its reason; nothing is changed.
pub async fn only_its_sender_recalls_a_message_and_only_for_a_while(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    make_group(&store, "g", ["a", "b"]).await;
    append_all(&store, vec![to_user("a", "b"), to_group("a", "g")]).await;
    for conversation in [ab.clone(), of_group("g")] {
        assert_eq!(recall(&store, "b", &conversation, 1).await, Err(RecallRefusal::NotSender));
        for seq in [0, 2, u64::MAX] {
            assert_eq!(recall(&store, "a", &conversation, seq).await, Err(RecallRefusal::NotFound), "{seq}");
        }
        let late = crate::Recall { window_ms: 0, ..recall_of("a", &conversation, 1) };
        let refused = store.recall(late).await.expect("the store works");
        assert_eq!(refused, Err(RecallRefusal::TooLate));
        assert_eq!(read_all(&store, &conversation).await[0].recalled_at, None);
        assert_eq!(changes(&store, &conversation, 0).await.rev, 0);
    }
    assert_eq!(recall(&store, "a", &direct("a", "z"), 1).await, Err(RecallRefusal::NotFound));
}

/// Of the sender's device.
pub async fn an_older_connection_may_not_recall(place: &impl Place) {
    let store = place.open().await;
    let phone = key("a", "phone");
    append(&store, to_user("a", "b")).await;
    let old = connect(&store, &phone, &node("spear-1", 1)).await.epoch;
    let new = connect(&store, &phone, &node("spear-2", 1)).await.epoch;
    let by = |epoch| crate::Recall {
        author: Author { device: Some(phone.device.clone()), epoch, session: 1 },
        ..recall_of("a", &direct("a", "b"), 1)
    };
    assert_eq!(store.recall(by(old)).await.expect("the store works"), Err(RecallRefusal::OldEpoch));
    assert!(store.recall(by(new)).await.expect("the store works").is_ok());
}

/// Also once it would be too late; it is logged once, and tells and bumps again.
pub async fn recalling_again_is_the_same(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    append(&store, to_user("a", "b")).await;
    let first = recall(&store, "a", &ab, 1).await.expect("recalled");
    assert!(first.logged.rev > first.logged.previous_rev);
    let left = read_all(&store, &ab).await.remove(0);
    let version = inbox_version(&store, "b").await;
    let late = crate::Recall { window_ms: 0, ..recall_of("a", &ab, 1) };
    let again = store.recall(late).await.expect("the store works").expect("recalled");
    assert_eq!(
        (again.id, again.logged.rev, again.logged.previous_rev),
        (first.id, first.logged.rev, first.logged.rev)
    );
    assert_eq!(read_all(&store, &ab).await[0].recalled_at, left.recalled_at);
    assert_eq!(changes(&store, &ab, 0).await.changes.len(), 1);
    assert!(inbox_version(&store, "b").await > version);
    assert_eq!(recall(&store, "b", &ab, 1).await, Err(RecallRefusal::NotSender));
}

/// By cid and by id, whether that led or came late.
pub async fn a_repetition_of_a_recalled_message_is_known(place: &impl Place) {
    let store = place.open().await;
    let with_id = |id: u64| Append { id: MessageId(id), ..to_user("a", "b") };
    let sent: Vec<Append> = [10, 20, 15, 30, 12, 40, 41, 42].into_iter().map(with_id).collect();
    let cid = with_cid("c", to_user("a", "b"));
    append_all(&store, sent.clone()).await;
    let first = append(&store, cid.clone()).await.message;
    for seq in 1..=9 {
        recall(&store, "a", &direct("a", "b"), seq).await.expect("recalled");
    }
    for (seq, append_again) in (1..).zip(sent) {
        let again = append(&store, append_again).await;
        assert_eq!((again.message.seq, again.duplicate), (seq, true));
        assert_eq!(again.message.body.get(), "null");
    }
    let again = append(&store, Append { id: next_id(), ..cid }).await;
    assert_eq!((again.message.id, again.message.seq, again.duplicate), (first.id, first.seq, true));
    let new = append(&store, with_id(25)).await;
    assert_eq!((new.message.seq, new.duplicate), (10, false), "a late id is not a repeated one");
}

/// Halving steps over them.
pub async fn a_time_leads_to_a_tombstone(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    let mut times = Vec::new();
    for append_one in numbered(9) {
        times.push(append(&store, append_one).await.message.sent_at);
    }
    let find = async |at| store.seqs_at(at, vec![ab.clone()]).await.expect("the store works")[0];
    let mut before = Vec::new();
    for at in &times {
        before.push((find(*at).await, find(at - 1).await));
    }
    for seq in [1, 4, 5, 6, 9] {
        recall(&store, "a", &ab, seq).await.expect("recalled");
    }
    for (at, expected) in times.iter().zip(before) {
        assert_eq!((find(*at).await, find(at - 1).await), expected);
    }
}

/// The newest ones; the tombstones stay all the same.
pub async fn the_log_has_a_bound(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    let count = CHANGES_KEPT + 5;
    for chunk in numbered(count).chunks(100) {
        append_all(&store, chunk.to_vec()).await;
    }
    for seq in 1..=count as u64 {
        recall(&store, "a", &ab, seq).await.expect("recalled");
    }
    let kept = changes(&store, &ab, 0).await.changes;
    assert_eq!(kept.len(), CHANGES_KEPT);
    assert!(matches!(kept[0].change, Change::Recalled { seq: 6, .. }), "{:?}", kept[0]);
    assert!(read_all(&store, &ab).await.iter().all(|message| message.recalled_at.is_some()));
}

/// After closing and opening again.
pub async fn tombstones_and_the_log_are_there_again(place: &impl Place) {
    let ab = direct("a", "b");
    let before = {
        let store = place.open().await;
        append_all(&store, numbered(3)).await;
        recall(&store, "a", &ab, 2).await.expect("recalled");
        changes(&store, &ab, 0).await
    };
    let store = place.open().await;
    assert_eq!(bodies(&read_all(&store, &ab).await), ["1", "null", "3"]);
    assert_eq!(changes(&store, &ab, 0).await, before);
    let next = recall(&store, "a", &ab, 3).await.expect("recalled").logged;
    assert!(next.rev > before.rev && next.previous_rev == before.rev);
}
