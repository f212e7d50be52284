//! What nodes say again after the store may have forgotten it.

use wire::NodeRef;

use super::{Place, support::*};
use crate::{Connected, CursorMove, Cursors, DeviceKey, Disconnect, Held, Store};

fn held(key: &DeviceKey, connected: &Connected) -> Held {
    let Connected { epoch, born_at, since_at, .. } = *connected;
    Held { key: key.clone(), epoch, born_at, since_at }
}

async fn assert_held(store: &impl Store, node: &NodeRef, held: Held) -> bool {
    let answers = store.assert_presence(node, vec![held]).await.expect("the store works");
    assert_eq!(answers.len(), 1, "one answer a connection");
    answers[0]
}

async fn places(store: &impl Store, name: &str) -> Vec<(String, NodeRef, i64)> {
    let presence = store.presence(vec![user(name)]).await.expect("the store works").remove(0);
    presence.devices.into_iter().map(|held| (held.device.to_string(), held.node, held.since_at)).collect()
}

async fn generation(store: &impl Store) -> u64 {
    store.generation().await.expect("the store works")
}

/// And stays while it has forgotten nothing.
pub async fn a_store_that_forgets_presence_says_so(place: &impl Place) {
    let store = place.open().await;
    let (here, phone) = (node("spear-1", 1), key("a", "phone"));
    let before = generation(&store).await;
    store.enter(&here).await.expect("the store works");
    connect(&store, &phone, &here).await;
    append(&store, to_user("a", "b")).await;
    assert_eq!(generation(&store).await, before);
    drop(store);

    let store = place.open().await;
    let remembers = !places(&store, "a").await.is_empty();
    assert!(remembers || generation(&store).await != before);
}

/// With the epoch that it has, so that it goes on as if nothing had happened; of a device that was forgotten too.
pub async fn a_connection_that_was_forgotten_is_registered_again(place: &impl Place) {
    let store = place.open().await;
    let (here, phone) = (node("spear-1", 1), key("a", "phone"));
    append_all(&store, vec![to_user("b", "a"), to_user("b", "a")]).await;
    let first = connect(&store, &phone, &here).await;
    store
        .disconnect(vec![Disconnect { key: phone.clone(), epoch: first.epoch, received: false }])
        .await
        .expect("the store works");
    assert!(assert_held(&store, &here, held(&phone, &first)).await);
    let expected = [("phone".to_owned(), here.clone(), first.since_at)];
    assert_eq!(places(&store, "a").await, expected);
    append(&store, from_device("phone", first.epoch, to_user("a", "b"))).await;

    let lost = Held { key: key("a", "pad"), epoch: 7, born_at: 5, since_at: 6 };
    assert!(assert_held(&store, &here, lost).await);
    assert!(try_append(&store, from_device("pad", 6, to_user("a", "b"))).await.is_err());
    let cursors = vec![(direct("a", "b"), 2)];
    let moved = CursorMove { key: key("a", "pad"), epoch: 7, cursors: cursors.clone() };
    store.move_cursors(vec![moved]).await.expect("the store works");
    assert_eq!(
        store.cursors(&key("a", "pad")).await.expect("the store works"),
        cursors.into_iter().collect::<Cursors>()
    );
    let next = connect(&store, &key("a", "pad"), &here).await;
    assert!(next.epoch > 7 && next.known);
    assert_eq!((next.born_at, next.previous), (5, Some((here, 7))));
}

/// Neither where the newer one is connected nor where it has gone.
pub async fn a_connection_that_was_replaced_does_not_come_back(place: &impl Place) {
    let store = place.open().await;
    let (one, two, phone) = (node("spear-1", 1), node("spear-2", 1), key("a", "phone"));
    let old = connect(&store, &phone, &one).await;
    let new = connect(&store, &phone, &two).await;
    assert!(!assert_held(&store, &one, held(&phone, &old)).await);
    assert_eq!(places(&store, "a").await, [("phone".to_owned(), two.clone(), new.since_at)]);
    let both = vec![held(&phone, &new), held(&phone, &old)];
    assert_eq!(store.assert_presence(&two, both).await.expect("the store works"), [true, false]);
    store
        .disconnect(vec![Disconnect { key: phone.clone(), epoch: new.epoch, received: false }])
        .await
        .expect("the store works");
    assert!(!assert_held(&store, &one, held(&phone, &old)).await);
    assert!(places(&store, "a").await.is_empty());
    assert!(connect(&store, &phone, &one).await.epoch > new.epoch);
}

/// As little as one that connects late.
pub async fn a_late_assertion_of_an_old_start_holds_nothing(place: &impl Place) {
    let store = place.open().await;
    let (old, new, phone) = (node("spear-1", 1), node("spear-1", 2), key("a", "phone"));
    store.enter(&old).await.expect("the store works");
    let connected = connect(&store, &phone, &old).await;
    store.enter(&new).await.expect("the store works");
    assert!(assert_held(&store, &old, held(&phone, &connected)).await, "no newer connection is known");
    assert!(places(&store, "a").await.is_empty());
}
