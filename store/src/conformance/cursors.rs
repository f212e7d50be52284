//! What a device has confirmed.

use wire::Conversation;

use super::{Place, support::*};
use crate::{CursorMove, Cursors, DeviceKey, Moved, Store};

async fn moved(store: &impl Store, key: &DeviceKey, epoch: u64, cursors: Vec<(Conversation, u64)>) -> Moved {
    let batch = vec![CursorMove { key: key.clone(), epoch, cursors }];
    let moved = store.move_cursors(batch).await.expect("the store works");
    assert_eq!(moved.len(), 1);
    moved[0]
}

async fn cursors(store: &impl Store, key: &DeviceKey) -> Cursors {
    store.cursors(key).await.expect("the store works")
}

/// One that would go back is ignored; others of the same call are not.
pub async fn cursors_only_go_forwards(place: &impl Place) {
    let store = place.open().await;
    let phone = key("a", "phone");
    let epoch = connect(&store, &phone, &node("spear-1", 1)).await.epoch;
    assert!(cursors(&store, &phone).await.is_empty());
    make_group(&store, "g", ["a"]).await;
    append_all(&store, (0..9).map(|_| to_user("b", "a")).collect()).await;
    append_all(&store, (0..9).map(|_| to_group("a", "g")).collect()).await;
    let ab = |seq| (direct("a", "b"), seq);
    for cursors in
        [vec![ab(5), (of_group("g"), 2)], vec![ab(4), (of_group("g"), 3)], vec![ab(5), ab(6), ab(1)]]
    {
        assert_eq!(moved(&store, &phone, epoch, cursors).await, Moved::Done);
    }
    let expected = Cursors::from([(direct("a", "b"), 6), (of_group("g"), 3)]);
    assert_eq!(cursors(&store, &phone).await, expected);
}

/// A device, not a user; what one move is answered says nothing of the others.
pub async fn each_device_has_its_own(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    let keys = [key("a", "phone"), key("a", "pad"), key("b", "phone")];
    append_all(&store, (0..9).map(|_| to_user("b", "a")).collect()).await;
    let mut batch = Vec::new();
    for (seq, key) in (1..).zip(&keys) {
        let epoch = connect(&store, key, &here).await.epoch;
        batch.push(CursorMove { key: key.clone(), epoch, cursors: vec![(direct("a", "b"), seq)] });
    }
    let stale = key("c", "phone");
    let epoch = connect(&store, &stale, &here).await.epoch;
    connect(&store, &stale, &node("spear-2", 1)).await;
    let unknown = key("d", "phone");
    for (at, key, epoch) in [(0, stale, epoch), (2, unknown, u64::MAX)] {
        batch.insert(at, CursorMove { key, epoch, cursors: vec![(direct("a", "b"), 1)] });
    }
    let moved = store.move_cursors(batch).await.expect("the store works");
    assert_eq!(moved, [Moved::Replaced, Moved::Done, Moved::Unknown, Moved::Done, Moved::Done]);
    for (seq, key) in (1..).zip(&keys) {
        assert_eq!(cursors(&store, key).await, Cursors::from([(direct("a", "b"), seq)]));
    }
    assert!(cursors(&store, &key("b", "pad")).await.is_empty());
}

/// The new one begins where the old one ended.
pub async fn an_older_connection_moves_nothing(place: &impl Place) {
    let store = place.open().await;
    let phone = key("a", "phone");
    append_all(&store, (0..9).map(|_| to_user("b", "a")).collect()).await;
    let old = connect(&store, &phone, &node("spear-1", 1)).await.epoch;
    assert_eq!(moved(&store, &phone, old, vec![(direct("a", "b"), 2)]).await, Moved::Done);
    let new = connect(&store, &phone, &node("spear-2", 1)).await.epoch;
    assert_eq!(moved(&store, &phone, old, vec![(direct("a", "b"), 7)]).await, Moved::Replaced);
    assert_eq!(cursors(&store, &phone).await, Cursors::from([(direct("a", "b"), 2)]));
    assert_eq!(moved(&store, &phone, new, vec![(direct("a", "b"), 3)]).await, Moved::Done);
    assert_eq!(cursors(&store, &phone).await, Cursors::from([(direct("a", "b"), 3)]));
}
