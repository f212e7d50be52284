//! The same `cid`, the same id.

use std::sync::Arc;

use wire::MessageId;

use super::{Place, support::*};
use crate::Append;

/// The answer is the first one's, whatever else the second one says.
pub async fn a_repeated_cid_is_stored_once(place: &impl Place) {
    let store = place.open().await;
    let first = append(&store, with_cid("c1", to_user("a", "b"))).await;
    append(&store, to_user("a", "b")).await;
    let again = Append { body: body("\"other\""), ..with_cid("c1", to_user("a", "b")) };
    let second = append(&store, again).await;
    assert!(!first.duplicate);
    assert!(second.duplicate);
    assert_eq!(second.message.id, first.message.id);
    assert_eq!(second.message.seq, first.message.seq);
    assert_eq!(second.message.sent_at, first.message.sent_at);
    assert_eq!(second.message.body.get(), first.message.body.get(), "the message is the one that is stored");
    assert_contiguous(&read_all(&store, &direct("a", "b")).await);
    assert_eq!(append(&store, to_user("a", "b")).await.message.seq, 3);
}

/// Somebody else's, or elsewhere, it is another one.
pub async fn a_cid_counts_for_one_user_in_one_conversation(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    for message in
        [to_user("a", "b"), to_user("b", "a"), to_user("a", "c"), to_group("a", "g"), to_group("b", "g")]
    {
        assert!(!append(&store, with_cid("c", message)).await.duplicate);
    }
    assert_eq!(read_all(&store, &direct("a", "b")).await.len(), 2);
    assert!(append(&store, with_cid("c", to_group("b", "g"))).await.duplicate);
}

/// Both are answered, the second as a duplicate.
pub async fn a_repeated_cid_within_a_batch_is_stored_once(place: &impl Place) {
    let store = place.open().await;
    let batch = vec![
        with_cid("c", to_user("a", "b")),
        to_user("a", "b"),
        with_cid("c", to_user("a", "b")),
        to_user("a", "b"),
    ];
    let answers = append_all(&store, batch).await;
    let seqs: Vec<_> = answers.iter().map(|answer| (answer.message.seq, answer.duplicate)).collect();
    assert_eq!(seqs, [(1, false), (2, false), (1, true), (3, false)]);
}

/// A retry of our own: the same id, with or without a cid, at once or later.
pub async fn a_repeated_id_is_stored_once(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    for message in [to_user("a", "b"), with_cid("c", to_user("a", "b")), to_group("a", "g")] {
        let first = append(&store, message.clone()).await;
        let at_once = append(&store, message.clone()).await;
        let other = Append { id: next_id(), cid: None, ..message.clone() };
        append(&store, other).await;
        let later = append(&store, message.clone()).await;
        let elsewhere = Append { conversation: direct("a", "z"), ..message };
        assert!(!append(&store, elsewhere).await.duplicate, "an id counts for one conversation");
        for repeated in [at_once, later] {
            assert!(repeated.duplicate);
            assert_eq!(repeated.message.seq, first.message.seq);
            assert_eq!(repeated.message.sent_at, first.message.sent_at);
        }
    }
    assert_contiguous(&read_all(&store, &direct("a", "b")).await);
}

/// Ids may come in any order; each is stored once, and each is known, whether it led or came late.
pub async fn a_late_id_is_not_a_repeated_one(place: &impl Place) {
    let store = place.open().await;
    let in_order = 1..=20;
    let with_an_early_giant = [7, u64::MAX >> 1].into_iter().chain(8..40);
    let zigzag = (0..50).map(|n| if n % 2 == 0 { 1_000 + n } else { 1_000 - n });
    let scattered = (1..=200).map(|n: u64| n * 7_919 % 1_009);
    let orders: [Vec<u64>; 4] =
        [in_order.collect(), with_an_early_giant.collect(), zigzag.collect(), scattered.collect()];
    for (n, ids) in orders.into_iter().enumerate() {
        let to = format!("u{n}");
        let send = |id: u64| Append { id: MessageId(id), ..to_user("a", &to) };
        for (seq, id) in (1..).zip(&ids) {
            let appended = append(&store, send(*id)).await;
            assert_eq!((appended.message.seq, appended.duplicate), (seq, false), "order {n}, id {id}");
        }
        for (seq, id) in (1..).zip(&ids) {
            let appended = append(&store, send(*id)).await;
            assert_eq!((appended.message.seq, appended.duplicate), (seq, true), "order {n}, id {id}");
        }
    }
}

/// Many tasks send the same cids at the same time.
pub async fn concurrent_repeats_are_stored_once(place: &impl Place) {
    let store = Arc::new(place.open().await);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for n in 0..20 {
                    let appended = append(&*store, with_cid(&format!("c{n}"), to_user("a", "b"))).await;
                    seqs.push((appended.message.seq, appended.message.id));
                }
                seqs
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("the task works"));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "all get the same answers");
    let stored = read_all(&*store, &direct("a", "b")).await;
    assert_eq!(stored.len(), 20);
    assert_contiguous(&stored);
}
