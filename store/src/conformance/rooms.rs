//! Which nodes hold members of a room.

use wire::{NodeRef, Room};

use super::{Place, support::*};
use crate::{InterestChange, RoomCount, RoomHolder, Store};

fn room(name: &str) -> Room {
    Room::new(name).expect("a room's name")
}

fn held(node: &NodeRef, members: u64) -> RoomHolder {
    RoomHolder { node: node.clone(), members }
}

/// Registers a count, and answers who holds the room then.
async fn set(store: &impl Store, node: &NodeRef, name: &str, members: u64) -> Vec<RoomHolder> {
    let counts = vec![RoomCount { room: room(name), members }];
    let mut answers = store.set_room_members(node, counts).await.expect("the store works");
    assert_eq!(answers.len(), 1, "one answer a room");
    sorted(answers.remove(0))
}

async fn holders(store: &impl Store, name: &str) -> Vec<RoomHolder> {
    let mut answers = store.room_members(vec![room(name)]).await.expect("the store works");
    assert_eq!(answers.len(), 1, "one answer a room");
    sorted(answers.remove(0))
}

fn sorted(mut holders: Vec<RoomHolder>) -> Vec<RoomHolder> {
    holders.sort_unstable();
    holders
}

/// By each node for itself; whoever registers learns of the others with it.
pub async fn members_are_counted_by_node(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear 2", 1));
    assert!(holders(&store, "lobby").await.is_empty());
    assert_eq!(set(&store, &one, "lobby", 3).await, [held(&one, 3)]);
    let both = sorted(vec![held(&one, 3), held(&two, 1)]);
    assert_eq!(set(&store, &two, "lobby", 1).await, both);
    assert_eq!(holders(&store, "lobby").await, both);
    let later = sorted(vec![held(&one, 20_000), held(&two, 1)]);
    assert_eq!(set(&store, &one, "lobby", 20_000).await, later);
    assert!(holders(&store, "hall").await.is_empty());
}

/// And may hold some again.
pub async fn a_node_that_holds_none_is_not_named(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    set(&store, &one, "lobby", 2).await;
    set(&store, &two, "lobby", 2).await;
    assert_eq!(set(&store, &one, "lobby", 0).await, [held(&two, 2)]);
    assert_eq!(set(&store, &one, "lobby", 0).await, [held(&two, 2)], "twice does no harm");
    assert!(set(&store, &two, "lobby", 0).await.is_empty());
    assert!(set(&store, &two, "never", 0).await.is_empty());
    assert_eq!(set(&store, &one, "lobby", 1).await, [held(&one, 1)]);
}

/// In the order of the questions; more than one call of a script takes.
pub async fn many_rooms_are_answered_in_order(place: &impl Place) {
    const ROOMS: u64 = 200;
    let store = place.open().await;
    let here = node("spear-1", 1);
    let names: Vec<Room> = (0..ROOMS).map(|number| room(&format!("r-{number}"))).collect();
    let counts = names.iter().zip(1..).map(|(room, members)| RoomCount { room: room.clone(), members });
    let expected: Vec<_> = (1..=ROOMS).map(|members| vec![held(&here, members)]).collect();
    let answers = store.set_room_members(&here, counts.collect()).await.expect("the store works");
    assert_eq!(answers, expected);
    let mut asked = names;
    asked.insert(1, room("nobody"));
    let mut answers = store.room_members(asked).await.expect("the store works");
    assert!(answers.remove(1).is_empty());
    assert_eq!(answers, expected);
}

/// A new start begins with none.
pub async fn members_count_for_one_start_of_a_node(place: &impl Place) {
    let store = place.open().await;
    let (old, new, other) = (node("spear-1", 1), node("spear-1", 2), node("spear-2", 1));
    store.enter(&old).await.expect("the store works");
    set(&store, &old, "lobby", 5).await;
    set(&store, &old, "hall", 5).await;
    set(&store, &other, "lobby", 1).await;
    store.enter(&new).await.expect("the store works");
    assert_eq!(holders(&store, "lobby").await, [held(&other, 1)]);
    assert!(holders(&store, "hall").await.is_empty());
    set(&store, &new, "lobby", 2).await;
    let now = [held(&new, 2), held(&other, 1)];
    assert_eq!(set(&store, &old, "lobby", 0).await, now, "the old start is not listened to");
    assert_eq!(set(&store, &old, "lobby", 9).await, now);
    assert!(set(&store, &old, "hall", 9).await.is_empty());
}

/// Whatever they are called.
pub async fn a_room_is_no_group(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    make_group(&store, "same", ["a"]).await;
    set(&store, &here, "same", 1).await;
    let routing = store.routing(vec![group("same")]).await.expect("the store works").remove(0);
    assert!(routing.1.is_empty());
    let changes = vec![InterestChange { group: group("other"), interested: true }];
    store.set_interest(&here, changes).await.expect("the store works");
    assert!(holders(&store, "other").await.is_empty());
}
