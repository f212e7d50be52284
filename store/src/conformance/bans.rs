//! The ban list.

use wire::User;

use super::Place;
use crate::Bans;

fn user(name: &str) -> User {
    name.parse().expect("a name")
}

async fn is_banned(store: &impl Bans, name: &str) -> bool {
    store.is_banned(&user(name)).await.expect("the store works")
}

async fn set(store: &impl Bans, name: &str, banned: bool) -> bool {
    store.set_banned(&user(name), banned).await.expect("the store works")
}

/// And nobody else with them.
pub async fn one_who_is_banned_is_so_until_it_is_taken_back(place: &impl Place) {
    let store = place.open().await;
    assert!(!is_banned(&store, "a").await);
    assert!(set(&store, "a", true).await);
    assert!(!set(&store, "a", true).await, "nothing changed");
    assert!(is_banned(&store, "a").await);
    assert!(!is_banned(&store, "b").await);
    assert!(set(&store, "a", false).await);
    assert!(!set(&store, "a", false).await, "nothing changed");
    assert!(!is_banned(&store, "a").await);
}

/// A restart is no way around a ban.
pub async fn bans_are_there_again(place: &impl Place) {
    let store = place.open().await;
    set(&store, "a", true).await;
    set(&store, "b", true).await;
    set(&store, "b", false).await;
    drop(store);
    let store = place.open().await;
    assert!(is_banned(&store, "a").await);
    assert!(!is_banned(&store, "b").await);
}
