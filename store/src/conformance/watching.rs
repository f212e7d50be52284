//! Which nodes watch whose presence.

use wire::NodeRef;

use super::{Place, support::*};
use crate::{Connected, DeviceKey, Disconnect, Store, WatchChange};

async fn set(store: &impl Store, node: &NodeRef, names: &[&str], watched: bool) {
    let changes = names.iter().map(|name| WatchChange { user: user(name), watched });
    store.set_watched(node, changes.collect()).await.expect("the store works");
}

fn sorted(mut nodes: Vec<NodeRef>) -> Vec<NodeRef> {
    nodes.sort_unstable();
    nodes
}

fn end(key: &DeviceKey, Connected { epoch, .. }: &Connected) -> Disconnect {
    Disconnect { key: key.clone(), epoch: *epoch, received: false }
}

/// Who watches `name`, as somebody who comes and goes is answered.
async fn watchers(store: &impl Store, name: &str) -> Vec<NodeRef> {
    let phone = key(name, "phone");
    let mut connected = connect(store, &phone, &node("spear-9", 1)).await;
    let coming = sorted(std::mem::take(&mut connected.watchers));
    let mut answers = store.disconnect(vec![end(&phone, &connected)]).await.expect("the store works");
    assert_eq!(answers.len(), 1, "one answer a connection");
    assert_eq!(sorted(answers.remove(0)), coming, "the same to one who comes and one who goes");
    coming
}

/// From when it says so until it takes it back, each for itself.
pub async fn who_comes_and_goes_is_told_who_watches(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear 2", 1));
    assert!(watchers(&store, "a").await.is_empty());
    set(&store, &one, &["a", "b"], true).await;
    set(&store, &two, &["a"], true).await;
    set(&store, &two, &["a"], true).await;
    assert_eq!(watchers(&store, "a").await, sorted(vec![one.clone(), two.clone()]));
    assert_eq!(watchers(&store, "b").await, std::slice::from_ref(&one));
    assert!(watchers(&store, "c").await.is_empty());
    set(&store, &one, &["a", "never"], false).await;
    assert_eq!(watchers(&store, "a").await, [two]);
    assert_eq!(watchers(&store, "b").await, [one]);
}

/// In their order; more than one call of a script takes. An end that is said again is answered again: the first answer may
/// have been lost.
pub async fn a_batch_is_answered_in_order(place: &impl Place) {
    const USERS: usize = 100;
    let store = place.open().await;
    let (here, watching) = (node("spear-9", 1), node("spear-1", 1));
    let keys: Vec<DeviceKey> = (0..USERS).map(|number| key(&format!("u-{number}"), "phone")).collect();
    set(&store, &watching, &["u-0", "u-40", "u-99"], true).await;
    let mut ends = Vec::new();
    for key in &keys {
        ends.push(end(key, &connect(&store, key, &here).await));
    }
    for _ in 0..2 {
        let answers = store.disconnect(ends.clone()).await.expect("the store works");
        let told: Vec<usize> = (0..USERS).filter(|&number| !answers[number].is_empty()).collect();
        assert_eq!((answers.len(), told), (USERS, vec![0, 40, 99]));
    }
}

/// A new start begins with none.
pub async fn watching_counts_for_one_start_of_a_node(place: &impl Place) {
    let store = place.open().await;
    let (old, new, other) = (node("spear-1", 1), node("spear-1", 2), node("spear-2", 1));
    store.enter(&old).await.expect("the store works");
    set(&store, &old, &["a", "b"], true).await;
    set(&store, &other, &["a"], true).await;
    store.enter(&new).await.expect("the store works");
    assert_eq!(watchers(&store, "a").await, std::slice::from_ref(&other));
    assert!(watchers(&store, "b").await.is_empty());
    set(&store, &new, &["a"], true).await;
    set(&store, &old, &["a"], false).await;
    set(&store, &old, &["b"], true).await;
    assert_eq!(watchers(&store, "a").await, [new, other], "the old start is not listened to");
    assert!(watchers(&store, "b").await.is_empty());
}

/// Neither where one is online, nor where one's messages go.
pub async fn who_is_watched_is_not_connected_by_it(place: &impl Place) {
    let store = place.open().await;
    let (here, watching) = (node("spear-1", 1), node("spear-2", 1));
    set(&store, &watching, &["a"], true).await;
    connect(&store, &key("a", "phone"), &here).await;
    let presence = store.presence(vec![user("a")]).await.expect("the store works").remove(0);
    assert_eq!(presence.devices.len(), 1);
    let stored = append(&store, to_user("b", "a")).await;
    assert_eq!(stored.routing, crate::Routing::Direct(vec![here]));
}
