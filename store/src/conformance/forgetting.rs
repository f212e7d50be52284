//! Devices that are forgotten.

use wire::NodeRef;

use super::{Place, support::*};
use crate::{Connected, CursorMove, Cursors, DeviceKey, DeviceLimits, Disconnect, Evicted, Store};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn at_most(most: usize) -> DeviceLimits {
    DeviceLimits { most, ..DeviceLimits::default() }
}

/// Waits until the store's clock shows a later millisecond.
async fn tick(store: &impl Store) {
    let before = append(store, to_user("clock", "clock")).await.message.sent_at;
    while append(store, to_user("clock", "clock")).await.message.sent_at == before {}
}

async fn disconnect(store: &impl Store, key: &DeviceKey, epoch: u64) {
    store
        .disconnect(vec![Disconnect { key: key.clone(), epoch, received: true }])
        .await
        .expect("the store works");
}

async fn confirm(store: &impl Store, key: &DeviceKey, epoch: u64) {
    let cursors = vec![(direct("a", "b"), 1)];
    store.move_cursors(vec![CursorMove { key: key.clone(), epoch, cursors }]).await.expect("the store works");
}

async fn cursors(store: &impl Store, key: &DeviceKey) -> Cursors {
    store.cursors(key).await.expect("the store works")
}

async fn devices(store: &impl Store) -> Vec<String> {
    let presence = store.presence(vec![user("a")]).await.expect("the store works").remove(0);
    presence.devices.into_iter().map(|held| held.device.to_string()).collect()
}

/// Connects, confirms something, and goes; each at a time of its own.
async fn visit(store: &impl Store, name: &str, here: &NodeRef, limits: DeviceLimits) -> Connected {
    let key = key("a", name);
    let connected = connect_within(store, limits, &key, here).await;
    confirm(store, &key, connected.epoch).await;
    tick(store).await;
    disconnect(store, &key, connected.epoch).await;
    tick(store).await;
    connected
}

/// It is a further device when it comes back, without cursors, and with a greater epoch.
pub async fn beyond_the_limit_the_one_that_was_away_longest_goes(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    append(&store, to_user("b", "a")).await;
    let first = visit(&store, "phone", &here, at_most(3)).await;
    visit(&store, "pad", &here, at_most(3)).await;
    visit(&store, "phone", &here, at_most(3)).await;
    let held = connect_within(&store, at_most(3), &key("a", "laptop"), &here).await;
    confirm(&store, &key("a", "laptop"), held.epoch).await;
    let new = connect_within(&store, at_most(3), &key("a", "watch"), &here).await;
    assert_eq!(new.evicted, [], "it was not connected");
    assert!(cursors(&store, &key("a", "pad")).await.is_empty());
    for kept in ["phone", "laptop"] {
        assert_eq!(cursors(&store, &key("a", kept)).await.len(), 1, "{kept}");
    }
    let back = connect_within(&store, at_most(3), &key("a", "pad"), &here).await;
    assert!(!back.known);
    assert!(back.born_at >= held.since_at, "it begins at the present");
    assert!(back.epoch > first.epoch);
    assert!(cursors(&store, &key("a", "phone")).await.is_empty(), "it was the next to go");
    let again = connect_within(&store, at_most(9), &key("a", "phone"), &here).await;
    assert!(!again.known);
    assert!(again.born_at > 0, "the user is not new");
}

/// Its connection is named, so that it can be closed; what it still says changes nothing.
pub async fn where_all_are_connected_the_one_that_came_first_goes(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    append(&store, to_user("b", "a")).await;
    let phone = connect_within(&store, at_most(2), &key("a", "phone"), &one).await;
    confirm(&store, &key("a", "phone"), phone.epoch).await;
    tick(&store).await;
    let pad = connect_within(&store, at_most(2), &key("a", "pad"), &one).await;
    tick(&store).await;
    let laptop = connect_within(&store, at_most(2), &key("a", "laptop"), &two).await;
    let device = key("a", "phone").device;
    assert_eq!(laptop.evicted, [Evicted { device, node: one.clone(), epoch: phone.epoch }]);
    assert_eq!(devices(&store).await, ["laptop", "pad"]);
    confirm(&store, &key("a", "phone"), phone.epoch).await;
    disconnect(&store, &key("a", "phone"), phone.epoch).await;
    assert!(cursors(&store, &key("a", "phone")).await.is_empty());
    tick(&store).await;
    let back = connect_within(&store, at_most(2), &key("a", "phone"), &one).await;
    assert!(!back.known);
    assert!(back.epoch > phone.epoch);
    assert_eq!(back.evicted.iter().map(|gone| gone.epoch).collect::<Vec<_>>(), [pad.epoch]);
    let alone = connect_within(&store, at_most(1), &key("a", "watch"), &one).await;
    assert_eq!(alone.evicted.len(), 2, "a lower limit counts at once");
    assert_eq!(devices(&store).await, ["watch"]);
}

/// Not the one that is connected, nor the one that connects, however long it was away.
pub async fn one_that_was_not_used_for_long_is_forgotten(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    let soon = DeviceLimits { forget_after_ms: 1, ..DeviceLimits::default() };
    let later = DeviceLimits { forget_after_ms: DAY_MS, ..DeviceLimits::default() };
    append(&store, to_user("b", "a")).await;
    visit(&store, "phone", &here, later).await;
    visit(&store, "pad", &here, later).await;
    let laptop = connect_within(&store, later, &key("a", "laptop"), &here).await;
    confirm(&store, &key("a", "laptop"), laptop.epoch).await;
    tick(&store).await;
    let pad = connect_within(&store, soon, &key("a", "pad"), &here).await;
    assert!(pad.known);
    assert_eq!(pad.evicted, []);
    for (name, is_known) in [("phone", false), ("pad", true), ("laptop", true)] {
        assert_eq!(!cursors(&store, &key("a", name)).await.is_empty(), is_known, "{name}");
    }
    assert!(!connect_within(&store, later, &key("a", "phone"), &here).await.known);
    // Another user's are not looked at.
    connect_within(&store, at_most(1), &key("b", "phone"), &here).await;
    assert_eq!(devices(&store).await.len(), 3);
}

/// Also after the store was opened again.
pub async fn when_a_device_was_used_is_known_again(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    append(&store, to_user("b", "a")).await;
    visit(&store, "pad", &here, at_most(2)).await;
    visit(&store, "phone", &here, at_most(2)).await;
    drop(store);
    let store = place.open().await;
    connect_within(&store, at_most(2), &key("a", "laptop"), &here).await;
    assert!(cursors(&store, &key("a", "pad")).await.is_empty());
    assert_eq!(cursors(&store, &key("a", "phone")).await.len(), 1);
}
