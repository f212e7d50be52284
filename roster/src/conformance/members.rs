//! Registration and the snapshot.

use wire::{Incarnation, NodeState, Role};

use super::{Fixture, record, seen, settle, within};
use crate::{Health, RosterError, Snapshot};

/// What is registered stands in everybody's snapshot as it was registered, and is gone when it left.
pub async fn a_registered_node_is_seen_until_it_leaves(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let mut watcher = other.watch();
    assert_eq!(**watcher.borrow(), Snapshot::default(), "a new cluster has no nodes");
    assert_eq!(*other.health().borrow(), Health::Good);

    let registered = record(Role::Spear, "spear-1", 7);
    let registration = one.register(registered.clone()).await.expect("an empty cluster takes it");
    let snapshot = seen(&mut watcher, "spear-1", |snapshot| snapshot.nodes().count() == 1).await;
    assert_eq!(snapshot.get(Role::Spear, "spear-1").map(|node| (**node).clone()), Some(registered.clone()));
    assert!(snapshot.holds(Role::Spear, &registered.node_ref()));

    registration.leave().await;
    seen(&mut watcher, "an empty cluster", |snapshot| snapshot.nodes().count() == 0).await;
}

/// A handle that is dropped leaves like one that is closed.
pub async fn dropping_a_registration_leaves(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let mut watcher = other.watch();
    let registration =
        one.register(record(Role::Ticket, "ticket-1", 1)).await.expect("an empty cluster takes it");
    seen(&mut watcher, "ticket-1", |snapshot| snapshot.get(Role::Ticket, "ticket-1").is_some()).await;
    drop(registration);
    seen(&mut watcher, "an empty cluster", |snapshot| snapshot.nodes().count() == 0).await;
}

/// A restart replaces its predecessor, which learns it and can do no more harm.
pub async fn a_newer_start_takes_the_place(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let mut watchers = [one.watch(), other.watch()];
    let newer = |snapshot: &Snapshot| snapshot.incarnation(Role::Spear, "spear-1") == Some(Incarnation(2));

    let first = one.register(record(Role::Spear, "spear-1", 1)).await.expect("an empty cluster takes it");
    let second = other.register(record(Role::Spear, "spear-1", 2)).await.expect("it is newer");
    within("the end of the older one", first.superseded().cancelled_owned()).await;
    assert!(!second.superseded().is_cancelled(), "the newer one stays");
    for watcher in &mut watchers {
        seen(watcher, "the newer one", newer).await;
    }

    let refused = first.set_state(NodeState::Draining).await.expect_err("it has no place any more");
    assert!(matches!(refused, RosterError::Superseded { newer: Incarnation(2), .. }), "{refused}");
    first.leave().await;
    settle(&other, &mut watchers).await;
    for watcher in &mut watchers {
        assert!(newer(&watcher.borrow()), "the older one's leaving must not remove the newer one");
        let state = watcher.borrow().get(Role::Spear, "spear-1").map(|node| node.state);
        assert_eq!(state, Some(NodeState::Up));
    }
}

/// A process that was replaced cannot come back.
pub async fn an_older_start_is_refused(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let mut watchers = [one.watch(), other.watch()];
    let newer = one.register(record(Role::Spear, "spear-1", 5)).await.expect("an empty cluster takes it");
    let refused = other.register(record(Role::Spear, "spear-1", 4)).await.err().expect("it is older");
    let RosterError::Superseded { id, newer: incarnation } = refused else { panic!("{refused}") };
    assert_eq!((&*id, incarnation), ("spear-1", Incarnation(5)));
    settle(&one, &mut watchers).await;
    for watcher in &mut watchers {
        assert_eq!(watcher.borrow().incarnation(Role::Spear, "spear-1"), Some(Incarnation(5)));
    }
    assert!(!newer.superseded().is_cancelled());
}

/// Leaving frees the place for any later registration.
pub async fn a_node_that_left_may_come_back(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    let mut watcher = roster.watch();
    for incarnation in 1..=5 {
        let registration =
            roster.register(record(Role::Stat, "stat-1", incarnation)).await.expect("the place is free");
        seen(&mut watcher, "this start", |snapshot| {
            snapshot.incarnation(Role::Stat, "stat-1") == Some(Incarnation(incarnation))
        })
        .await;
        assert!(!registration.superseded().is_cancelled());
        registration.leave().await;
    }
    seen(&mut watcher, "an empty cluster", |snapshot| snapshot.nodes().count() == 0).await;
}

/// A draining node is seen as one, and is not available.
pub async fn a_change_of_state_is_seen(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let mut watcher = other.watch();
    let registration =
        one.register(record(Role::Spear, "spear-1", 1)).await.expect("an empty cluster takes it");
    for state in [NodeState::Draining, NodeState::Up, NodeState::Draining] {
        registration.set_state(state).await.expect("it holds its place");
        let snapshot = seen(&mut watcher, "the new state", |snapshot| {
            snapshot.get(Role::Spear, "spear-1").is_some_and(|node| node.state == state)
        })
        .await;
        let available = usize::from(state == NodeState::Up);
        assert_eq!(snapshot.available(Role::Spear).count(), available, "{state:?}");
        assert_eq!(snapshot.of_role(Role::Spear).count(), 1);
    }
}

/// An id is unique within its role only.
pub async fn two_roles_may_have_the_same_id(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    let mut watcher = roster.watch();
    let spear = roster.register(record(Role::Spear, "n1", 1)).await.expect("an empty cluster takes it");
    let ticket = roster.register(record(Role::Ticket, "n1", 2)).await.expect("another role");
    seen(&mut watcher, "both", |snapshot| snapshot.nodes().count() == 2).await;
    assert!(!spear.superseded().is_cancelled() && !ticket.superseded().is_cancelled());
    spear.leave().await;
    let snapshot = seen(&mut watcher, "one", |snapshot| snapshot.nodes().count() == 1).await;
    assert!(snapshot.get(Role::Ticket, "n1").is_some());
}

/// Two processes that have seen the same nodes have equal snapshots, in the same order.
pub async fn everybody_sees_the_same(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let (mut first, mut second) = (one.watch(), other.watch());
    let mut registrations = Vec::new();
    for number in 0..12 {
        let roster = if number % 2 == 0 { &one } else { &other };
        let id = format!("spear-{}", (number * 7) % 12);
        registrations.push(roster.register(record(Role::Spear, &id, 1)).await.expect("ids differ"));
    }
    let all = |snapshot: &Snapshot| snapshot.nodes().count() == 12;
    let (first, second) = (seen(&mut first, "all", all).await, seen(&mut second, "all", all).await);
    assert_eq!(first, second);
    assert!(first.nodes().map(|node| &node.id).eq(second.nodes().map(|node| &node.id)));
}

/// Who does not look for a while misses what was between, never what is.
pub async fn a_slow_watcher_sees_the_last_state(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let (mut quick, mut slow) = (other.watch(), other.watch());
    let registration =
        one.register(record(Role::Spear, "spear-1", 1)).await.expect("an empty cluster takes it");
    for _ in 0..20 {
        registration.set_state(NodeState::Draining).await.expect("it holds its place");
        registration.set_state(NodeState::Up).await.expect("it holds its place");
    }
    let stays = one.register(record(Role::Spear, "spear-2", 1)).await.expect("another id");
    registration.leave().await;
    let last =
        |snapshot: &Snapshot| snapshot.nodes().count() == 1 && snapshot.get(Role::Spear, "spear-2").is_some();
    seen(&mut quick, "the last state", last).await;
    assert!(slow.has_changed().expect("the roster is held"), "something has changed since it looked");
    assert!(last(&slow.borrow_and_update()), "one look shows the last state");
    stays.leave().await;
}

/// An id becomes a part of a path.
pub async fn an_id_that_is_no_path_is_refused(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    for id in ["", "a/b", "..", "a b"] {
        let refused = roster.register(record(Role::Spear, id, 1)).await.err().expect("no id");
        assert!(matches!(refused, RosterError::Invalid(_)), "{id:?}: {refused}");
    }
}
