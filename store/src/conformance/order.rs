//! `seq` and `sent_at`.

use std::sync::Arc;

use super::{Place, support::*};
use crate::Append;

/// 64 tasks write 50 messages each into one conversation, and as many elsewhere in between.
pub async fn seq_has_no_holes_under_concurrent_appends(place: &impl Place) {
    let store = Arc::new(place.open().await);
    let tasks: Vec<_> = (0..64)
        .map(|task: usize| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut own = Vec::new();
                for n in 0..50 {
                    let (from, to) = if task.is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
                    let elsewhere = to_user(&format!("t{task}"), "b");
                    let batch = if n % 2 == 0 {
                        vec![elsewhere, to_user(from, to)]
                    } else {
                        vec![to_user(from, to), elsewhere]
                    };
                    let main = if n % 2 == 0 { 1 } else { 0 };
                    let appended = append_all(&*store, batch).await.swap_remove(main);
                    assert!(!appended.duplicate);
                    own.push((appended.message.seq, appended.message.id));
                }
                own
            })
        })
        .collect();
    let mut answered = Vec::new();
    for task in tasks {
        let own = task.await.expect("the task works");
        assert!(own.is_sorted(), "what one task sends one after the other keeps its order");
        answered.extend(own);
    }
    answered.sort_unstable();
    let stored = read_all(&*store, &direct("a", "b")).await;
    assert_contiguous(&stored);
    let stored: Vec<_> = stored.iter().map(|message| (message.seq, message.id)).collect();
    assert_eq!(stored, answered, "what was answered is what is stored");
    for task in 0..64 {
        assert_contiguous(&read_all(&*store, &direct(&format!("t{task}"), "b")).await);
    }
}

/// Messages of one batch, some to other conversations, keep their order.
pub async fn a_batch_keeps_its_order(place: &impl Place) {
    let store = place.open().await;
    let mut batch = Vec::new();
    for n in 0..100 {
        batch.push(Append { body: body(&n.to_string()), ..to_user("a", "b") });
        batch.push(to_user("a", if n % 2 == 0 { "c" } else { "d" }));
    }
    append_all(&store, batch).await;
    let stored = read_all(&store, &direct("a", "b")).await;
    let bodies: Vec<u64> =
        stored.iter().map(|message| message.body.get().parse().expect("a number")).collect();
    assert_eq!(bodies, (0..100).collect::<Vec<_>>());
    assert_contiguous(&stored);
}

/// Each conversation begins at 1.
pub async fn conversations_count_by_themselves(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    for expected in 1..=3 {
        assert_eq!(append(&store, to_user("a", "b")).await.message.seq, expected);
        assert_eq!(append(&store, to_user("c", "a")).await.message.seq, expected);
        assert_eq!(append(&store, to_group("a", "g")).await.message.seq, expected);
    }
}

/// Under concurrent appends, too.
pub async fn sent_at_never_decreases_with_seq(place: &impl Place) {
    let store = Arc::new(place.open().await);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    append(&*store, to_user("a", "b")).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task works");
    }
    let stored = read_all(&*store, &direct("a", "b")).await;
    assert_eq!(stored.len(), 200);
    assert!(stored.is_sorted_by_key(|message| message.sent_at));
    assert!(stored[0].sent_at > 0);
}
