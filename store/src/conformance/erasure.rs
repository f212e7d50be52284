//! What is kept of a user, told and forgotten.

use super::{Place, support::*};
use crate::{CursorMove, Disconnect, Erasure, KnownDevice, MarkRead, Store};

async fn forget(store: &impl Store, name: &str, conversation: &wire::Conversation) -> bool {
    store.forget_place(&user(name), conversation).await.expect("the store works")
}

async fn read_seq(store: &impl Store, name: &str, conversation: &wire::Conversation) -> u64 {
    store.read_seqs(vec![(user(name), conversation.clone())]).await.expect("the store works")[0]
}

async fn mark(store: &impl Store, name: &str, conversation: &wire::Conversation, seq: u64) {
    let mark = MarkRead { conversation: conversation.clone(), user: user(name), seq, most_members: 100 };
    store.mark_read(vec![mark]).await.expect("the store works")[0].as_ref().expect("it is theirs");
}

async fn known(store: &impl Store, name: &str) -> Vec<KnownDevice> {
    store.known_devices(&user(name)).await.expect("the store works")
}

/// The other one keeps theirs, and the messages stay.
pub async fn a_conversation_of_two_is_forgotten_for_one(place: &impl Place) {
    let store = place.open().await;
    let ab = direct("a", "b");
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "b")] {
        append(&store, to_user(from, to)).await;
    }
    append(&store, to_user("a", "c")).await;
    mark(&store, "b", &ab, 3).await;
    append(&store, to_user("b", "a")).await;
    mark(&store, "a", &ab, 4).await;
    assert_eq!(changes(&store, &ab, 0).await.changes.len(), 2, "each has read something");
    let before = inbox_version(&store, "a").await;
    let last_rev = changes(&store, &ab, 0).await.rev;
    for _ in 0..2 {
        assert!(forget(&store, "a", &ab).await);
        let left: Vec<_> = inbox(&store, "a").await.direct.into_iter().map(|(of, _)| of).collect();
        assert_eq!(left, [direct("a", "c")]);
        assert_eq!(inbox(&store, "b").await.direct, [(ab.clone(), 4)]);
        assert_eq!((read_seq(&store, "a", &ab).await, read_seq(&store, "b", &ab).await), (0, 4));
    }
    assert!(inbox_version(&store, "a").await > before);
    let log = changes(&store, &ab, 0).await;
    assert_eq!((log.rev, log.changes.len()), (last_rev, 1), "{log:?}");
    assert_eq!(store.changed_since(&user("a"), 0).await.expect("the store works"), []);
    assert_eq!(read_all(&store, &ab).await.len(), 4);
    assert!(forget(&store, "a", &direct("a", "nobody")).await, "there is nothing to forget");
}

/// From either side, also when the store was opened anew in between.
pub async fn a_new_message_brings_a_conversation_back(place: &impl Place) {
    let ab = direct("a", "b");
    for (seq, (from, to)) in (2..).zip([("b", "a"), ("a", "b"), ("b", "a")]) {
        let store = place.open().await;
        if seq == 2 {
            append(&store, to_user("a", "b")).await;
        }
        assert!(forget(&store, "a", &ab).await);
        assert_eq!(inbox(&store, "a").await.direct, []);
        drop(store);
        let store = place.open().await;
        append(&store, to_user(from, to)).await;
        assert_eq!(inbox(&store, "a").await.direct, [(ab.clone(), seq)]);
        assert_eq!(inbox(&store, "b").await.direct, [(ab.clone(), seq)]);
    }
    let store = place.open().await;
    append(&store, to_user("a", "a")).await;
    assert!(forget(&store, "a", &direct("a", "a")).await);
    assert_eq!(read_seq(&store, "a", &direct("a", "a")).await, 0);
    append(&store, to_user("a", "a")).await;
    assert_eq!(inbox(&store, "a").await.direct.len(), 2);
}

/// While one is a member, nothing is.
pub async fn a_group_is_forgotten_after_leaving(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "team", ["a", "b"]).await;
    let team = of_group("team");
    append(&store, to_group("a", "team")).await;
    append(&store, to_group("b", "team")).await;
    mark(&store, "a", &team, 2).await;
    assert!(!forget(&store, "a", &team).await);
    assert_eq!(inbox(&store, "a").await.groups, [group("team")]);
    assert_eq!(
        (read_seq(&store, "a", &team).await, membership(&store, "a", "team").await.is_member()),
        (2, true)
    );

    leave(&store, "team", ["a"]).await;
    for _ in 0..2 {
        assert!(forget(&store, "a", &team).await);
        assert_eq!(inbox(&store, "a").await.groups, []);
        assert_eq!(membership(&store, "a", "team").await.spans, []);
        assert_eq!(read_seq(&store, "a", &team).await, 0);
    }
    assert_eq!(
        changes(&store, &team, 0).await.changes.len(),
        0,
        "b has read by sending, which is not logged"
    );
    assert!(membership(&store, "b", "team").await.is_member());
    assert_eq!(read_all(&store, &team).await.len(), 2);
    join(&store, "team", ["a"]).await;
    assert_eq!(inbox(&store, "a").await.groups, [group("team")]);
    assert_eq!(membership(&store, "a", "team").await.spans[0].joined_seq, 3);
}

/// Connected or not; and a deleted group is left like any other.
pub async fn devices_are_told_and_forgotten(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    store.enter(&here).await.expect("the store works");
    let (phone, pad) = (key("a", "phone"), key("a", "pad"));
    assert_eq!(known(&store, "a").await, []);
    let first = connect(&store, &phone, &here).await;
    let second = connect(&store, &pad, &here).await;
    connect(&store, &key("ab", "phone"), &here).await;
    for (key, epoch) in [(&phone, first.epoch), (&pad, second.epoch)] {
        let cursors = vec![(direct("a", "b"), 1)];
        store
            .move_cursors(vec![CursorMove { key: key.clone(), epoch, cursors }])
            .await
            .expect("the store works");
    }
    let end = Disconnect { key: phone.clone(), epoch: first.epoch, received: true };
    store.disconnect(vec![end]).await.expect("the store works");
    let told = known(&store, "a").await;
    let names: Vec<&str> = told.iter().map(|known| known.device.as_str()).collect();
    assert_eq!(names, ["pad", "phone"]);
    assert_eq!((told[0].born_at, told[1].born_at), (second.born_at, 0));
    assert!(told[0].last_seen_at.is_some_and(|at| at >= first.since_at), "{told:?}");

    for _ in 0..2 {
        store.forget_devices(&user("a")).await.expect("the store works");
        assert_eq!(known(&store, "a").await, []);
        let presence = store.presence(vec![user("a")]).await.expect("the store works").remove(0);
        assert_eq!((presence.devices, presence.last_seen_at), (vec![], None));
        for key in [&phone, &pad] {
            assert!(store.cursors(key).await.expect("the store works").is_empty());
        }
    }
    assert_eq!(known(&store, "ab").await.len(), 1, "another user's stay");
    // What the connection still says is about nobody.
    let cursors = vec![(direct("a", "b"), 2)];
    store
        .move_cursors(vec![CursorMove { key: pad.clone(), epoch: second.epoch, cursors }])
        .await
        .expect("the store works");
    let end = Disconnect { key: pad.clone(), epoch: second.epoch, received: true };
    store.disconnect(vec![end]).await.expect("the store works");
    assert!(store.cursors(&pad).await.expect("the store works").is_empty());
    assert_eq!(known(&store, "a").await, []);

    let again = connect(&store, &pad, &here).await;
    assert_eq!((again.known, again.born_at, again.previous), (false, 0, None));
    assert!(again.epoch > second.epoch);
}

/// Nothing of it comes back.
pub async fn what_was_forgotten_stays_so(place: &impl Place) {
    let (ab, here) = (direct("a", "b"), node("spear-1", 1));
    let store = place.open().await;
    append(&store, to_user("a", "b")).await;
    make_group(&store, "team", ["a"]).await;
    leave(&store, "team", ["a"]).await;
    connect(&store, &key("a", "phone"), &here).await;
    for conversation in [&ab, &of_group("team")] {
        assert!(forget(&store, "a", conversation).await);
    }
    store.forget_devices(&user("a")).await.expect("the store works");
    drop(store);
    let store = place.open().await;
    let left = inbox(&store, "a").await;
    assert_eq!((left.direct, left.groups), (vec![], vec![]));
    assert_eq!(known(&store, "a").await, []);
    assert_eq!(read_seq(&store, "a", &ab).await, 0);
}
