//! Which nodes watch whose presence, and whose messages.

use wire::NodeRef;

use super::{Place, support::*};
use crate::{Connected, DeviceKey, Disconnect, Routing, Store, WatchChange, Watched};

async fn set(store: &impl Store, node: &NodeRef, names: &[&str], watched: bool) {
    set_of(Watched::Presence, store, node, names, watched).await;
}

async fn set_of(what: Watched, store: &impl Store, node: &NodeRef, names: &[&str], watched: bool) {
    let changes = names.iter().map(|name| WatchChange { user: user(name), what, watched });
    store.set_watched(node, changes.collect()).await.expect("the store works");
}

/// Where a message goes.
async fn route(store: &impl Store, from: &str, to: &str) -> Vec<NodeRef> {
    match append(store, to_user(from, to)).await.routing {
        Routing::Direct(nodes) => sorted(nodes),
        Routing::Group { .. } => panic!("it is between two users"),
    }
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
    assert_eq!(route(&store, "b", "a").await, [here]);
}

/// From when it says so until it takes it back; of whoever is watched, with whomever they talk.
pub async fn messages_go_to_who_watches_them(place: &impl Place) {
    let store = place.open().await;
    let (here, one, two) = (node("spear-9", 1), node("spear-1", 1), node("spear 2", 1));
    connect(&store, &key("a", "phone"), &here).await;
    set_of(Watched::Messages, &store, &one, &["a"], true).await;
    set_of(Watched::Messages, &store, &two, &["a", "b"], true).await;
    assert_eq!(route(&store, "b", "a").await, sorted(vec![here.clone(), one.clone(), two.clone()]));
    assert_eq!(route(&store, "a", "a").await, sorted(vec![here.clone(), one.clone(), two.clone()]));
    assert_eq!(route(&store, "c", "b").await, std::slice::from_ref(&two));
    assert!(route(&store, "c", "d").await.is_empty());
    set_of(Watched::Messages, &store, &two, &["a", "never"], false).await;
    assert_eq!(route(&store, "c", "a").await, sorted(vec![here.clone(), one.clone()]));
    set_of(Watched::Messages, &store, &here, &["a"], true).await;
    set_of(Watched::Messages, &store, &one, &["a"], false).await;
    assert_eq!(route(&store, "c", "a").await, [here], "each once");
}

/// Who watches messages is not told who comes, and nobody is online by it, or a device more.
pub async fn who_watches_messages_is_no_device(place: &impl Place) {
    let store = place.open().await;
    let (here, watching) = (node("spear-9", 1), node("spear-1", 1));
    set_of(Watched::Messages, &store, &watching, &["a"], true).await;
    assert!(watchers(&store, "a").await.is_empty());
    let presence = store.presence(vec![user("a")]).await.expect("the store works").remove(0);
    assert!(presence.devices.is_empty());
    let limits = crate::DeviceLimits { most: 2, ..Default::default() };
    for device in ["phone", "pad", "tv"] {
        let evicted = connect_within(&store, limits, &key("a", device), &here).await.evicted;
        assert!(evicted.iter().all(|evicted| evicted.node == here), "{evicted:?}");
    }
    let presence = store.presence(vec![user("a")]).await.expect("the store works").remove(0);
    assert_eq!(presence.devices.len(), 2);
    assert_eq!(route(&store, "b", "a").await, sorted(vec![here, watching]));
}

/// A new start begins with none.
pub async fn watched_messages_count_for_one_start_of_a_node(place: &impl Place) {
    let store = place.open().await;
    let (old, new, other) = (node("spear-1", 1), node("spear-1", 2), node("spear-2", 1));
    store.enter(&old).await.expect("the store works");
    set_of(Watched::Messages, &store, &old, &["a"], true).await;
    set_of(Watched::Messages, &store, &other, &["a"], true).await;
    store.enter(&new).await.expect("the store works");
    assert_eq!(route(&store, "b", "a").await, std::slice::from_ref(&other));
    set_of(Watched::Messages, &store, &old, &["b"], true).await;
    assert_eq!(
        route(&store, "b", "a").await,
        std::slice::from_ref(&other),
        "the old start is not listened to"
    );
    set_of(Watched::Messages, &store, &new, &["a"], true).await;
    set_of(Watched::Messages, &store, &old, &["a"], false).await;
    assert_eq!(route(&store, "b", "a").await, [new, other]);
}
