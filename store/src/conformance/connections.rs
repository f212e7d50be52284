//! Epochs and presence.

use std::sync::Arc;

use super::{Place, support::*};
use crate::{Connect, DeviceKey, DeviceLimits, DevicePresence, Disconnect, Store, UserPresence};

async fn presence(store: &impl Store, name: &str) -> UserPresence {
    store.presence(vec![user(name)]).await.expect("the store works").remove(0)
}

async fn disconnect(store: &impl Store, key: &DeviceKey, epoch: u64) {
    store
        .disconnect(vec![Disconnect { key: key.clone(), epoch, received: false }])
        .await
        .expect("the store works");
}

fn places(presence: &UserPresence) -> Vec<(&str, &str)> {
    presence.devices.iter().map(|held| (held.device.as_str(), &*held.node.id)).collect()
}

/// And name who held the device until now.
pub async fn epochs_grow_with_each_connection(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    let phone = key("a", "phone");
    let first = connect(&store, &phone, &one).await;
    assert!(first.epoch > 0);
    assert!(!first.known);
    assert_eq!(first.previous, None);
    let second = connect(&store, &phone, &two).await;
    assert!(second.epoch > first.epoch);
    assert!(second.known);
    assert_eq!(second.previous, Some((one.clone(), first.epoch)));
    disconnect(&store, &phone, second.epoch).await;
    let third = connect(&store, &phone, &one).await;
    assert!(third.epoch > second.epoch);
    assert!(third.known);
    assert_eq!(third.previous, None, "it was released");
    let batch = vec![phone.clone(), key("a", "pad"), phone.clone()];
    let batch = batch
        .into_iter()
        .map(|key| Connect { key, node: two.clone(), limits: DeviceLimits::default() })
        .collect();
    let answers = store.connect(batch).await.expect("the store works");
    assert_eq!(answers[0].previous, Some((one, third.epoch)));
    assert_eq!(answers[2].previous, Some((two, answers[0].epoch)));
    assert!(answers[2].epoch > answers[0].epoch);
    assert!(!answers[1].known);
}

/// The first one at the beginning of all time.
pub async fn a_further_device_is_born_when_it_first_connects(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    assert_eq!(connect(&store, &key("a", "phone"), &here).await.born_at, 0);
    let before = append(&store, to_user("b", "a")).await.message.sent_at;
    let pad = connect(&store, &key("a", "pad"), &here).await.born_at;
    let after = append(&store, to_user("b", "a")).await.message.sent_at;
    assert!(before <= pad && pad <= after, "{before} {pad} {after}");
    assert_eq!(connect(&store, &key("a", "pad"), &here).await.born_at, pad, "it is born once");
    assert_eq!(connect(&store, &key("a", "phone"), &here).await.born_at, 0);
    assert_eq!(connect(&store, &key("b", "pad"), &here).await.born_at, 0, "another user's first");
}

/// Devices in order of their names; who was never there, and who left.
pub async fn presence_follows_connections(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    assert_eq!(presence(&store, "a").await, UserPresence::default());
    let phone = connect(&store, &key("a", "phone"), &one).await;
    let began_at = presence(&store, "a").await.last_seen_at.expect("seen");
    assert!(began_at > 0);
    connect(&store, &key("a", "pad"), &two).await;
    let now = presence(&store, "a").await;
    assert_eq!(places(&now), [("pad", "spear-2"), ("phone", "spear-1")]);
    let DevicePresence { since_at, node, .. } = &now.devices[1];
    assert_eq!((node, *since_at), (&one, began_at));
    disconnect(&store, &key("a", "phone"), phone.epoch).await;
    let now = presence(&store, "a").await;
    assert_eq!(places(&now), [("pad", "spear-2")]);
    assert!(now.last_seen_at >= Some(began_at));
    let both = store.presence(vec![user("z"), user("a")]).await.expect("the store works");
    assert_eq!(both, [UserPresence::default(), now]);
}

/// A node that is told late that a device moved away.
pub async fn an_old_connection_ends_nothing(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    let old = connect(&store, &key("a", "phone"), &one).await;
    let new = connect(&store, &key("a", "phone"), &two).await;
    disconnect(&store, &key("a", "phone"), old.epoch).await;
    assert_eq!(places(&presence(&store, "a").await), [("phone", "spear-2")]);
    disconnect(&store, &key("a", "pad"), new.epoch).await;
    disconnect(&store, &key("z", "phone"), 1).await;
    disconnect(&store, &key("a", "phone"), new.epoch).await;
    assert!(presence(&store, "a").await.devices.is_empty());
    disconnect(&store, &key("a", "phone"), new.epoch).await;
}

/// Its own only; when they were last seen stays.
pub async fn a_new_start_of_a_node_ends_what_the_old_one_held(place: &impl Place) {
    let store = place.open().await;
    let (old, new, other) = (node("spear-1", 1), node("spear-1", 2), node("spear-2", 1));
    store.enter(&old).await.expect("the store works");
    let held = connect(&store, &key("a", "phone"), &old).await;
    connect(&store, &key("a", "pad"), &other).await;
    connect(&store, &key("b", "phone"), &old).await;
    let seen = presence(&store, "b").await.last_seen_at;
    store.enter(&new).await.expect("the store works");
    assert_eq!(places(&presence(&store, "a").await), [("pad", "spear-2")]);
    assert_eq!(presence(&store, "b").await, UserPresence { devices: vec![], last_seen_at: seen });
    let again = connect(&store, &key("a", "phone"), &new).await;
    assert!(again.epoch > held.epoch);
    assert_eq!(again.previous, None, "nobody held it any more");
    store.enter(&new).await.expect("the store works");
    assert_eq!(places(&presence(&store, "a").await), [("pad", "spear-2"), ("phone", "spear-1")]);
}

/// What was on its way when the process died.
pub async fn a_late_call_of_an_old_start_holds_nothing(place: &impl Place) {
    let store = place.open().await;
    let (old, new) = (node("spear-1", 1), node("spear-1", 2));
    store.enter(&old).await.expect("the store works");
    store.enter(&new).await.expect("the store works");
    connect(&store, &key("a", "phone"), &old).await;
    assert!(presence(&store, "a").await.devices.is_empty());
    store.enter(&old).await.expect("the store works");
    connect(&store, &key("a", "phone"), &new).await;
    assert_eq!(presence(&store, "a").await.devices[0].node, new, "the old start does not come back");
}

/// And the one with the greatest holds the device.
pub async fn concurrent_connections_get_different_epochs(place: &impl Place) {
    let store = Arc::new(place.open().await);
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let here = node(&format!("spear-{n}"), 1);
                let connected = connect(&*store, &key("a", "phone"), &here).await;
                (connected.epoch, here, connected.known)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("the task works"));
    }
    answers.sort_unstable();
    assert!(answers.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(answers.iter().filter(|answer| !answer.2).count(), 1, "one of them was the first");
    let held = presence(&*store, "a").await.devices;
    assert_eq!(held.len(), 1);
    assert_eq!(Some(&held[0].node), answers.last().map(|answer| &answer.1));
}

/// From when it first connected; a connection moves that when it ends and says that it has given everything.
pub async fn a_device_has_missed_what_came_since_it_had_everything(place: &impl Place) {
    let here = node("spear-1", 1);
    let phone = key("a", "phone");
    let end = |epoch, received| vec![Disconnect { key: phone.clone(), epoch, received }];
    let later = {
        let store = place.open().await;
        let first = connect(&store, &phone, &here).await;
        assert_eq!(first.away_since, first.since_at, "it is new");
        let second = connect(&store, &phone, &here).await;
        assert_eq!(second.away_since, first.away_since, "nobody has said that the first one ended");
        store.disconnect(end(second.epoch, false)).await.expect("the store works");
        let third = connect(&store, &phone, &here).await;
        assert_eq!(third.away_since, first.away_since, "the second one has not given everything");
        let before = append(&store, to_user("b", "a")).await.message.sent_at;
        store.disconnect(end(second.epoch, true)).await.expect("the store works");
        store.disconnect(end(third.epoch, true)).await.expect("the store works");
        let after = append(&store, to_user("b", "a")).await.message.sent_at;
        let fourth = connect(&store, &phone, &here).await;
        let away = fourth.away_since;
        assert!(before <= away && away <= after, "{before} {away} {after}");
        store.disconnect(end(third.epoch, true)).await.expect("the store works");
        assert_eq!(connect(&store, &phone, &here).await.away_since, away, "an older one ends nothing");
        let pad = connect(&store, &key("a", "pad"), &here).await;
        assert_eq!(pad.away_since, pad.since_at);
        away
    };
    let store = place.open().await;
    assert_eq!(connect(&store, &phone, &here).await.away_since, later, "it is kept");
}
