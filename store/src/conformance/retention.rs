//! What is trimmed, and what is left.

use wire::Change;

use super::{Place, support::*};
use crate::{Head, PageRequest, Progress, RecallRefusal, Retention as _, RetentionPolicy, Store};

fn keep(count: u64) -> RetentionPolicy {
    RetentionPolicy { age_ms: 0, count }
}

/// A whole pass; answers how many messages went.
async fn trim(store: &impl Store, policy: RetentionPolicy) -> u64 {
    let (mut from, mut messages) = (Progress::default(), 0);
    loop {
        let step = store.trim(policy, from).await.expect("the store works");
        messages += step.messages;
        match step.next {
            Some(next) => from = next,
            None => return messages,
        }
    }
}

async fn fill(store: &impl Store, from: &str, to: &str, count: usize) {
    let batch: Vec<_> = (0..count).map(|_| to_user(from, to)).collect();
    for chunk in batch.chunks(500) {
        append_all(store, chunk.to_vec()).await;
    }
}

async fn extent(store: &impl Store, one: &str, other: &str) -> (u64, u64, Vec<u64>) {
    let request = PageRequest { limit: MANY, ..everything(&direct(one, other)) };
    let page = page(store, request).await;
    (page.first_seq, page.last_seq, seqs(&page.messages))
}

/// In every conversation by itself, also in groups; with more than one step can remove.
pub async fn the_newest_are_kept(place: &impl Place) {
    let store = place.open().await;
    fill(&store, "a", "b", 2_500).await;
    fill(&store, "a", "c", 3).await;
    make_group(&store, "g", ["a"]).await;
    append_all(&store, (0..12).map(|_| to_group("a", "g")).collect()).await;
    assert_eq!(trim(&store, keep(10)).await, 2_490 + 2);
    assert_eq!(extent(&store, "a", "b").await, (2_491, 2_500, (2_491..=2_500).collect()));
    assert_eq!(extent(&store, "a", "c").await, (1, 3, vec![1, 2, 3]));
    let group = page(&store, everything(&of_group("g"))).await;
    assert_eq!((group.first_seq, seqs(&group.messages)), (3, (3..=12).collect()));
    assert_eq!(trim(&store, keep(10)).await, 0, "nothing more is due");
}

/// One step is bounded, and says where to go on; what is there in between is what the page says.
pub async fn a_pass_has_steps(place: &impl Place) {
    let store = place.open().await;
    fill(&store, "a", "b", 2_500).await;
    let (mut from, mut messages, mut steps) = (Progress::default(), 0, 0);
    loop {
        let step = store.trim(keep(1), from).await.expect("the store works");
        assert!(step.messages <= 1_000, "{step:?}");
        messages += step.messages;
        // A step may find nothing to do.
        steps += usize::from(step.messages > 0);
        let (first_seq, _, seqs) = extent(&store, "a", "b").await;
        assert_eq!((first_seq, seqs.first()), (messages + 1, Some(&first_seq)));
        match step.next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!((messages, steps), (2_499, 3));
}

/// Every conversation is looked at, however many there are.
pub async fn a_pass_comes_by_every_conversation(place: &impl Place) {
    let store = place.open().await;
    for n in 0..15 {
        let batch = (0..200).map(|m| to_user("a", &format!("u{}", (n * 200 + m) % 1_500)));
        append_all(&store, batch.collect()).await;
    }
    assert_eq!(trim(&store, keep(1)).await, 1_500);
}

/// By the store's clock: what was sent before is gone, what came since is there.
pub async fn what_is_old_is_trimmed(place: &impl Place) {
    let store = place.open().await;
    fill(&store, "a", "b", 5).await;
    let last = append(&store, to_user("a", "b")).await.message.sent_at;
    let hour = RetentionPolicy { age_ms: 3_600_000, count: 0 };
    assert_eq!(trim(&store, hour).await, 0);
    // The store's clock shows a later millisecond.
    while append(&store, to_user("c", "d")).await.message.sent_at <= last {}
    let moment = RetentionPolicy { age_ms: 1, count: 0 };
    while trim(&store, moment).await == 0 {}
    assert_eq!(extent(&store, "a", "b").await, (7, 6, vec![]));
}

/// Of each conversation once, with the ages of its oldest and newest message; those without messages are left out.
pub async fn a_pass_tells_what_is_left(place: &impl Place) {
    let store = place.open().await;
    fill(&store, "a", "b", 2_500).await;
    let early = append(&store, to_user("a", "c")).await.message.sent_at;
    while append(&store, to_user("a", "b")).await.message.sent_at < early + 50 {}
    recall(&store, "a", &direct("a", "c"), 1).await.expect("recalled");
    append(&store, to_user("a", "c")).await;
    make_group(&store, "empty", ["a"]).await;
    let (mut from, mut held) = (Progress::default(), Vec::new());
    loop {
        let step = store.trim(keep(7), from).await.expect("the store works");
        held.extend(step.held);
        match step.next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert!(held.iter().all(|extent| extent.oldest_ms >= extent.newest_ms), "{held:?}");
    held.sort_by_key(|extent| (extent.messages, extent.oldest_ms));
    let counts: Vec<_> = held.iter().map(|extent| extent.messages).collect();
    assert_eq!(counts, [2, 7], "{held:?}");
    let spread = held[0].oldest_ms - held[0].newest_ms;
    assert!((50..60_000).contains(&spread), "of the tombstone and what came after it: {held:?}");
}

/// Whatever else there is on the same server.
pub async fn what_is_stored_takes_space(place: &impl Place) {
    let store = place.open().await;
    let body = "x".repeat(60_000);
    for _ in 0..100 {
        append(&store, with_body(&body, to_user("a", "b"))).await;
    }
    let spaces = store.space().await.expect("the store works");
    let used = spaces.iter().map(|space| space.used).sum::<u64>();
    assert!(used >= 6_000_000, "{spaces:?}");
}

/// Tombstones go like messages, and nobody is told of them any more; those that are left stay in their places.
pub async fn what_was_recalled_is_trimmed_like_the_rest(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    fill(&store, "a", "b", 8).await;
    for seq in [1, 2, 4, 6, 8] {
        recall(&store, "a", &ab, seq).await.expect("recalled");
    }
    assert_eq!(trim(&store, keep(4)).await, 4);
    assert_eq!(extent(&store, "a", "b").await, (5, 8, vec![5, 6, 7, 8]));
    let told = changes(&store, &ab, 0).await.changes;
    let told: Vec<_> = told.into_iter().map(|logged| logged.change).collect();
    assert!(
        matches!(told[..], [Change::Recalled { seq: 6, .. }, Change::Recalled { seq: 8, .. }]),
        "{told:?}"
    );
    assert_eq!(recall(&store, "a", &ab, 4).await.map(drop), Err(RecallRefusal::NotFound));
    assert_eq!(trim(&store, keep(1)).await, 3);
    assert_eq!(extent(&store, "a", "b").await, (8, 8, vec![8]));
    // Found by time too, where only a tombstone is left.
    let sent_at = page(&store, everything(&ab)).await.messages[0].sent_at;
    let before = store.seqs_at(sent_at, vec![ab.clone()]).await.expect("the store works");
    assert_eq!(before, [8]);
}

/// Also where nothing is left.
pub async fn seq_goes_on(place: &impl Place) {
    let store = place.open().await;
    fill(&store, "a", "b", 3).await;
    let last_at = append(&store, to_user("a", "b")).await.message.sent_at;
    while append(&store, to_user("c", "d")).await.message.sent_at <= last_at {}
    while extent(&store, "a", "b").await.0 < 5 {
        trim(&store, RetentionPolicy { age_ms: 1, count: 0 }).await;
    }
    assert_eq!(extent(&store, "a", "b").await, (5, 4, vec![]));
    let heads = store.heads(vec![direct("a", "b")]).await.expect("the store works");
    assert_eq!(heads, [Head { rev: 0, last_seq: 4, members_version: 0, last_at }]);
    assert_eq!(inbox(&store, "b").await.direct, [(direct("a", "b"), 4)]);
    let later = store.seqs_at(i64::MAX >> 12, vec![direct("a", "b")]).await.expect("the store works");
    assert_eq!(later, [4]);
    assert_eq!(append(&store, to_user("a", "b")).await.message.seq, 5);
    assert_eq!(extent(&store, "a", "b").await, (5, 5, vec![5]));
}

/// The same message again is a new one once it was trimmed, or the one that is left; it is never an error.
pub async fn a_repetition_of_what_was_trimmed_is_no_error(place: &impl Place) {
    let store = place.open().await;
    let mut early = Vec::new();
    for n in 0..3 {
        early.push(with_cid(&format!("c{n}"), to_user("a", "b")));
    }
    // The ids come late, so that they are remembered in another way.
    fill(&store, "a", "b", 1).await;
    append_all(&store, early.clone()).await;
    let kept = with_cid("kept", to_user("a", "b"));
    append(&store, kept.clone()).await;
    trim(&store, keep(1)).await;
    for again in early {
        let answer = append(&store, again).await;
        assert!(!answer.duplicate && answer.message.seq > 5, "{answer:?}");
    }
    let answer = append(&store, kept).await;
    assert_eq!((answer.duplicate, answer.message.seq), (true, 5));
}

/// What was trimmed does not come back.
pub async fn it_is_trimmed_for_good(place: &impl Place) {
    let store = place.open().await;
    fill(&store, "a", "b", 9).await;
    trim(&store, keep(2)).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(extent(&store, "a", "b").await, (8, 9, vec![8, 9]));
    fill(&store, "a", "b", 1).await;
    assert_eq!(extent(&store, "a", "b").await, (8, 10, vec![8, 9, 10]));
}

/// Nobody sees a page that begins later than it says.
pub async fn a_page_says_where_it_begins_while_it_is_trimmed(place: &impl Place) {
    let store = std::sync::Arc::new(place.open().await);
    fill(&*store, "a", "b", 2_000).await;
    let trimming = tokio::spawn({
        let store = store.clone();
        async move {
            for left in (0..20).rev() {
                trim(&*store, keep(100 * left + 1)).await;
            }
        }
    });
    loop {
        let done = trimming.is_finished();
        let page = page(&*store, PageRequest { limit: 3, ..everything(&direct("a", "b")) }).await;
        assert_eq!(page.messages[0].seq, page.first_seq);
        if done {
            break;
        }
    }
    trimming.await.expect("it ends well");
}
