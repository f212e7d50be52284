//! Which nodes are told.

use wire::NodeRef;

use super::{Place, support::*};
use crate::{Appended, Disconnect, InterestChange, Routing, Store};

async fn interest(store: &impl Store, node: &NodeRef, of_group: &str, interested: bool) {
    let changes = vec![InterestChange { group: group(of_group), interested }];
    store.set_interest(node, changes).await.expect("the store works");
}

async fn routing(store: &impl Store, name: &str) -> (u64, Vec<NodeRef>) {
    let (version, mut nodes) = store.routing(vec![group(name)]).await.expect("the store works").remove(0);
    nodes.sort_unstable();
    (version, nodes)
}

fn nodes(appended: Appended) -> Vec<NodeRef> {
    match appended.routing {
        Routing::Direct(mut nodes) => {
            nodes.sort_unstable();
            nodes
        }
        Routing::Group { version } => panic!("no group, version {version}"),
    }
}

fn version(appended: &Appended) -> u64 {
    match appended.routing {
        Routing::Group { version } => version,
        Routing::Direct(_) => panic!("a group"),
    }
}

/// Each node once; also for a repeated message.
pub async fn a_direct_message_goes_to_the_nodes_of_both(place: &impl Place) {
    let store = place.open().await;
    let (one, two, three) = (node("spear-1", 1), node("spear-2", 1), node("spear-3", 1));
    assert!(nodes(append(&store, to_user("a", "b")).await).is_empty());
    connect(&store, &key("a", "phone"), &one).await;
    let pad = connect(&store, &key("a", "pad"), &two).await;
    connect(&store, &key("b", "phone"), &two).await;
    connect(&store, &key("c", "phone"), &three).await;
    let sent = with_cid("c", to_user("a", "b"));
    assert_eq!(nodes(append(&store, sent.clone()).await), [one.clone(), two.clone()]);
    assert_eq!(nodes(append(&store, sent).await), [one.clone(), two.clone()]);
    assert_eq!(nodes(append(&store, to_user("b", "a")).await), [one.clone(), two.clone()]);
    assert_eq!(nodes(append(&store, to_user("a", "a")).await), [one.clone(), two.clone()]);
    assert_eq!(nodes(append(&store, to_user("c", "c")).await), [three]);
    store
        .disconnect(vec![Disconnect { key: key("a", "pad"), epoch: pad.epoch, received: false }])
        .await
        .expect("the store works");
    assert_eq!(nodes(append(&store, to_user("a", "a")).await), [one]);
}

/// By each node for itself; nobody is told twice.
pub async fn interest_is_registered_and_withdrawn(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    make_group(&store, "g", ["a"]).await;
    assert!(routing(&store, "g").await.1.is_empty());
    interest(&store, &one, "g", true).await;
    interest(&store, &two, "g", true).await;
    interest(&store, &two, "g", true).await;
    interest(&store, &two, "h", true).await;
    assert_eq!(routing(&store, "g").await.1, [one.clone(), two.clone()]);
    interest(&store, &two, "g", false).await;
    interest(&store, &two, "g", false).await;
    assert_eq!(routing(&store, "g").await.1, vec![one.clone()]);
    assert_eq!(routing(&store, "h").await.1, vec![two.clone()]);
    let both = store.routing(vec![group("h"), group("none"), group("g")]).await.expect("the store works");
    let both: Vec<_> = both.into_iter().map(|(_, nodes)| nodes).collect();
    assert_eq!(both, [vec![two], vec![], vec![one]]);
}

/// And nothing else is.
pub async fn each_change_of_nodes_is_a_new_version(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    let mut last = routing(&store, "g").await.0;
    for (who, interested, changes) in [
        (&one, true, true),
        (&one, true, false),
        (&two, true, true),
        (&one, false, true),
        (&one, false, false),
        (&two, false, true),
        (&one, true, true),
    ] {
        interest(&store, who, "g", interested).await;
        let now = routing(&store, "g").await.0;
        assert_eq!(now > last, changes, "{who} {interested}: {last} to {now}");
        assert!(now >= last);
        last = now;
    }
    interest(&store, &one, "other", true).await;
    assert_eq!(routing(&store, "g").await.0, last, "another group's change is not this one's");
}

/// Whoever sends after a node was registered learns that a cached routing is too old.
pub async fn an_append_answers_a_version_that_is_not_older(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    let (cached, _) = routing(&store, "g").await;
    assert_eq!(version(&append(&store, to_group("a", "g")).await), cached);
    let sent = with_cid("c", to_group("a", "g"));
    append(&store, sent.clone()).await;
    interest(&store, &node("spear-1", 1), "g", true).await;
    let (fresh, _) = routing(&store, "g").await;
    assert!(fresh > cached);
    assert_eq!(version(&append(&store, to_group("a", "g")).await), fresh);
    let repeated = append(&store, sent).await;
    assert!(repeated.duplicate);
    assert_eq!(version(&repeated), fresh, "a repeated message is delivered by the routing of now");
}

/// A new start begins with none.
pub async fn interest_counts_for_one_start_of_a_node(place: &impl Place) {
    let store = place.open().await;
    let (old, new, other) = (node("spear-1", 1), node("spear-1", 2), node("spear-2", 1));
    store.enter(&old).await.expect("the store works");
    interest(&store, &old, "g", true).await;
    interest(&store, &other, "g", true).await;
    interest(&store, &old, "h", true).await;
    let before = routing(&store, "g").await.0;
    store.enter(&new).await.expect("the store works");
    assert_eq!(routing(&store, "g").await.1, vec![other.clone()]);
    assert!(routing(&store, "g").await.0 > before);
    assert!(routing(&store, "h").await.1.is_empty());
    interest(&store, &new, "g", true).await;
    interest(&store, &old, "g", false).await;
    interest(&store, &old, "h", true).await;
    assert_eq!(routing(&store, "g").await.1, [new, other], "the old start is not listened to");
    assert!(routing(&store, "h").await.1.is_empty());
}
