//! Spans of membership, also while others write.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{Place, support::*};
use crate::{Append, Appended, Span, Store};

fn by_system(name: &str) -> Append {
    Append { members_only: false, ..to_group("system", name) }
}

/// From the message after joining to the last one before leaving.
pub async fn a_span_holds_what_was_written_meanwhile(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    append_all(&store, vec![by_system("g"), by_system("g")]).await;
    join(&store, "g", ["b"]).await;
    append(&store, by_system("g")).await;
    leave(&store, "g", ["b"]).await;
    append(&store, by_system("g")).await;
    let b = membership(&store, "b", "g").await;
    assert_eq!(b.spans, [Span { joined_seq: 3, left_seq: Some(4) }]);
    assert_eq!(b.last_seq, 4);
    assert_eq!(membership(&store, "a", "g").await.spans, [Span { joined_seq: 1, left_seq: None }]);
    let never = membership(&store, "z", "g").await;
    assert_eq!((never.spans.as_slice(), never.last_seq), (&[][..], 4));
    let nowhere = membership(&store, "a", "none").await;
    assert_eq!((nowhere.spans.as_slice(), nowhere.last_seq, nowhere.members_version), (&[][..], 0, 0));
}

/// What was written in between is not theirs.
pub async fn coming_back_makes_another_span(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    for _ in 0..3 {
        append(&store, by_system("g")).await;
        leave(&store, "g", ["a"]).await;
        append(&store, by_system("g")).await;
        join(&store, "g", ["a"]).await;
    }
    let spans = membership(&store, "a", "g").await.spans;
    assert!(spans.is_sorted_by_key(|span| span.joined_seq));
    let theirs: Vec<u64> = (1..=7).filter(|seq| spans.iter().any(|span| span.holds(*seq))).collect();
    assert_eq!(theirs, [1, 3, 5, 7]);
    assert_eq!(spans.last().and_then(|span| span.left_seq), None);
}

/// And one may join again at once.
pub async fn leaving_before_any_message_leaves_nothing(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    for _ in 0..3 {
        leave(&store, "g", ["a"]).await;
        join(&store, "g", ["a"]).await;
    }
    leave(&store, "g", ["a"]).await;
    append(&store, by_system("g")).await;
    let spans = membership(&store, "a", "g").await.spans;
    assert!(!spans.iter().any(|span| span.holds(1)), "{spans:?}");
    join(&store, "g", ["a"]).await;
    leave(&store, "g", ["a"]).await;
    join(&store, "g", ["a"]).await;
    append(&store, to_group("a", "g")).await;
    let spans = membership(&store, "a", "g").await.spans;
    assert!((1..=2).map(|seq| spans.iter().filter(|span| span.holds(seq)).count()).eq([0, 1]), "{spans:?}");
}

/// Counts and versions follow; a change of nothing changes no version.
pub async fn changes_name_whom_they_changed(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    connect(&store, &key("b", "phone"), &node("spear-2", 1)).await;
    connect(&store, &key("a", "phone"), &node("spear-1", 1)).await;
    let add = |names| store.add_members(const_group(), names);
    let first = add(users(["a", "b", "c", "b"])).await.expect("the store works").expect("it exists");
    assert_eq!(first.changed, users(["b", "c"]));
    assert_eq!(first.members, 3);
    assert_eq!(first.nodes, [node("spear-2", 1)], "only the changed users' nodes");
    let nothing = add(users(["c"])).await.expect("the store works").expect("it exists");
    assert!(nothing.changed.is_empty());
    assert_eq!((nothing.members, nothing.members_version), (3, first.members_version));
    let removed = store
        .remove_members(const_group(), users(["c", "x", "a"]))
        .await
        .expect("the store works")
        .expect("it exists");
    assert_eq!(removed.changed, users(["c", "a"]));
    assert_eq!(removed.members, 1);
    assert!(removed.members_version > first.members_version);
    assert_eq!(removed.nodes, [node("spear-1", 1)]);
    let appended = append(&store, to_group("b", "g")).await;
    assert_eq!(appended.members_version, removed.members_version);
    let heads = store.heads(vec![of_group("g")]).await.expect("the store works");
    assert_eq!(heads[0].members_version, removed.members_version);
}

fn const_group() -> &'static wire::Group {
    static GROUP: std::sync::OnceLock<wire::Group> = std::sync::OnceLock::new();
    GROUP.get_or_init(|| group("g"))
}

/// Each message is either before or after each change, for everybody.
pub async fn nobody_sees_half_a_change_while_others_write(place: &impl Place) {
    let store = Arc::new(place.open().await);
    make_group(&*store, "g", ["a"]).await;
    let answered = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..4).map(|_| tokio::spawn(write(store.clone(), answered.clone(), done.clone()))).collect();
    let member = tokio::spawn(write_as_member(store.clone(), done.clone()));
    for _ in 0..20 {
        let before = answered.load(Ordering::SeqCst);
        join(&*store, "g", ["m"]).await;
        let first = append(&*store, by_system("g")).await.message.seq;
        let span = *membership(&*store, "m", "g").await.spans.last().expect("a member");
        assert!(span.joined_seq > before, "what was answered before joining is not theirs");
        assert!(span.joined_seq <= first, "what is sent after joining is theirs");
        let before = answered.load(Ordering::SeqCst);
        leave(&*store, "g", ["m"]).await;
        let after = append(&*store, by_system("g")).await.message.seq;
        let span = *membership(&*store, "m", "g").await.spans.last().expect("was a member");
        let left = span.left_seq.expect("has left");
        assert!(left > before.max(first), "what was answered before leaving is theirs");
        assert!(left <= after, "what is sent after leaving is not theirs");
    }
    done.store(true, Ordering::SeqCst);
    let mut all = member.await.expect("the task works");
    let spans = membership(&*store, "m", "g").await.spans;
    assert!(spans.windows(2).all(|pair| pair[0].left_seq.is_some_and(|left| left <= pair[1].joined_seq)));
    for appended in &all {
        assert!(
            spans.iter().any(|span| span.holds(appended.message.seq)),
            "a member's own message is theirs"
        );
    }
    for writer in writers {
        all.extend(writer.await.expect("the task works"));
    }
    all.sort_unstable_by_key(|appended| appended.message.seq);
    assert!(all.is_sorted_by_key(|appended| appended.members_version), "versions grow along the messages");
    assert_contiguous(&read_all(&*store, &of_group("g")).await);
}

async fn write(store: Arc<impl Store>, answered: Arc<AtomicU64>, done: Arc<AtomicBool>) -> Vec<Appended> {
    let mut all = Vec::new();
    while !done.load(Ordering::SeqCst) {
        let appended = append(&*store, by_system("g")).await;
        answered.fetch_max(appended.message.seq, Ordering::SeqCst);
        all.push(appended);
    }
    all
}

async fn write_as_member(store: Arc<impl Store>, done: Arc<AtomicBool>) -> Vec<Appended> {
    let mut all = Vec::new();
    while !done.load(Ordering::SeqCst) {
        all.extend(try_append(&*store, to_group("m", "g")).await.ok());
    }
    all
}
