//! Inboxes, their versions, read marks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use wire::Conversation;

use super::{Place, support::*};
use crate::{Append, Store};

async fn read_seq(store: &impl Store, name: &str, conversation: Conversation) -> u64 {
    store.read_seqs(vec![(user(name), conversation)]).await.expect("the store works")[0]
}

/// With the last `seq`.
pub async fn a_message_appears_in_both_inboxes(place: &impl Place) {
    let store = place.open().await;
    assert!(inbox(&store, "a").await.direct.is_empty());
    append_all(&store, vec![to_user("a", "b"), to_user("b", "a"), to_user("c", "a")]).await;
    let mut of_a = inbox(&store, "a").await;
    of_a.direct.sort_unstable();
    assert_eq!(of_a.direct, [(direct("a", "b"), 2), (direct("a", "c"), 1)]);
    assert!(of_a.groups.is_empty());
    assert_eq!(inbox(&store, "b").await.direct, [(direct("a", "b"), 2)]);
    assert_eq!(inbox(&store, "c").await.direct, [(direct("a", "c"), 1)]);
    assert!(inbox(&store, "d").await.direct.is_empty());
}

/// A conversation with oneself has one inbox.
pub async fn writing_to_oneself_appears_once(place: &impl Place) {
    let store = place.open().await;
    assert_eq!(append(&store, to_user("a", "a")).await.message.seq, 1);
    assert_eq!(append(&store, to_user("a", "a")).await.message.seq, 2);
    assert_eq!(inbox(&store, "a").await.direct, [(direct("a", "a"), 2)]);
    assert_eq!(read_seq(&store, "a", direct("a", "a")).await, 2);
}

/// Those that one has left, too; messages in groups are no change of an inbox.
pub async fn groups_appear_and_stay(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    make_group(&store, "h", ["a"]).await;
    append(&store, to_group("a", "g")).await;
    leave(&store, "g", ["a"]).await;
    let mut of_a = inbox(&store, "a").await;
    of_a.groups.sort_unstable();
    assert_eq!(of_a.groups, [group("g"), group("h")]);
    assert!(of_a.direct.is_empty());
    assert_eq!(inbox(&store, "b").await.groups, [group("g")]);
}

/// For those whom it concerns, and for nobody else.
pub async fn each_change_is_a_new_version(place: &impl Place) {
    let store = place.open().await;
    let record = crate::GroupRecord {
        group: group("g"),
        open: true,
        name: None,
        owner: None,
        created_at: 1,
        members: 0,
    };
    store.put_group(record).await.expect("the store works");
    let mut last = (inbox_version(&store, "a").await, inbox_version(&store, "b").await);
    let bystander = inbox_version(&store, "z").await;
    let sent = with_cid("c", to_user("a", "b"));
    for step in 0..9 {
        let (a, b) = match step {
            0 => {
                append(&store, sent.clone()).await;
                (true, true)
            }
            1 => {
                assert!(append(&store, Append { id: next_id(), ..sent.clone() }).await.duplicate);
                (true, true)
            }
            2 => {
                assert!(append(&store, sent.clone()).await.duplicate);
                (true, true)
            }
            3 => {
                append(&store, to_user("a", "a")).await;
                (true, false)
            }
            4 => {
                join(&store, "g", ["a", "b"]).await;
                (true, true)
            }
            5 => {
                append(&store, to_group("a", "g")).await;
                (false, false)
            }
            6 => {
                leave(&store, "g", ["b"]).await;
                (false, true)
            }
            7 => {
                leave(&store, "g", ["b"]).await;
                (false, false)
            }
            _ => {
                store.delete_group(&group("g")).await.expect("the store works");
                (true, false)
            }
        };
        let now = (inbox_version(&store, "a").await, inbox_version(&store, "b").await);
        assert_eq!((now.0 > last.0, now.1 > last.1), (a, b), "step {step}: {last:?} to {now:?}");
        assert!(now.0 >= last.0 && now.1 >= last.1);
        assert_eq!(inbox(&store, "a").await.version, now.0, "both ways to ask answer the same");
        last = now;
    }
    assert_eq!(inbox_version(&store, "z").await, bystander);
}

/// Else somebody who compares versions would miss what came in between.
pub async fn a_version_is_never_newer_than_what_is_read_with_it(place: &impl Place) {
    let store = Arc::new(place.open().await);
    append(&*store, to_user("b", "a")).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (store.clone(), done.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    let now = inbox(&*store, "a").await;
                    seen.push((now.version, now.direct[0].1));
                }
                seen
            })
        })
        .collect();
    // By version: the seq that whoever has it must have read.
    let mut versions = BTreeMap::new();
    for _ in 0..300 {
        let seq = append(&*store, to_user("b", "a")).await.message.seq;
        versions.insert(inbox_version(&*store, "a").await, seq);
        assert_eq!(inbox(&*store, "a").await.direct, [(direct("a", "b"), seq)]);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        for (version, seq) in reader.await.expect("the task works") {
            let expected = versions.range(..=version).next_back().map_or(1, |(_, seq)| *seq);
            assert!(seq >= expected, "version {version} was read with seq {seq}, not {expected}");
        }
    }
}

/// The sender's, not the others'.
pub async fn writing_moves_the_read_mark(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    for conversation in [direct("a", "b"), of_group("g")] {
        let by = |name: &str| match &conversation {
            Conversation::Direct(..) => to_user(name, if name == "a" { "b" } else { "a" }),
            Conversation::Group(_) => to_group(name, "g"),
        };
        append_all(&store, vec![by("a"), by("b"), by("b"), by("a"), by("b")]).await;
        assert_eq!(read_seq(&store, "a", conversation.clone()).await, 4);
        assert_eq!(read_seq(&store, "b", conversation.clone()).await, 5);
        assert_eq!(read_seq(&store, "z", conversation.clone()).await, 0);
    }
    let of =
        vec![(user("a"), of_group("none")), (user("b"), direct("a", "b")), (user("a"), direct("a", "z"))];
    assert_eq!(store.read_seqs(of).await.expect("the store works"), [0, 5, 0]);
}
