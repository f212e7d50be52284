//! The way of messages through a hub, on a real store.

use wire::Destination;

use super::fixture::{Fixture, user};

const PLENTY: usize = 10_000;

fn to(name: &str) -> Destination {
    Destination::User(user(name))
}

#[tokio::test]
async fn a_message_reaches_all_devices_of_both_but_not_the_connection_that_sent_it() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let (phone, alice_phone) = fixture.connect("alice", "phone", PLENTY).await;
    let (_tablet, alice_tablet) = fixture.connect("alice", "tablet", PLENTY).await;
    for _ in 0..3 {
        let hint = fixture.append("alice", to("bob"), phone.identity.session).await;
        fixture.deliver(hint);
    }
    bob.has(1..=3).await;
    alice_tablet.has(1..=3).await;
    alice_phone.has([]).await;
}

#[tokio::test]
async fn lost_hints_are_filled_before_a_later_message_is_handed_out() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let first = fixture.append("alice", to("bob"), 0).await;
    fixture.deliver(first);
    bob.has(1..=1).await;
    for _ in 2..=250 {
        fixture.append("alice", to("bob"), 0).await;
    }
    let last = fixture.append("alice", to("bob"), 0).await;
    fixture.deliver(last);
    bob.has(1..=251).await;
}

#[tokio::test]
async fn hints_that_come_twice_or_in_the_wrong_order_change_nothing() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let mut hints = Vec::new();
    for _ in 1..=50 {
        hints.push(fixture.append("alice", to("bob"), 0).await);
    }
    for hint in hints.iter().rev().chain(&hints) {
        fixture.deliver(hint.clone());
    }
    bob.has(1..=50).await;
}

#[tokio::test]
async fn a_sweep_finds_a_message_whose_only_hint_was_lost() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let group = fixture.group("team", &["alice", "carol"]).await;
    let (_carol, carol) = fixture.connect("carol", "phone", PLENTY).await;
    fixture.append("alice", to("bob"), 0).await;
    fixture.append("alice", Destination::Group(group), 0).await;
    fixture.hub.sweep().await.expect("swept");
    bob.has(1..=1).await;
    carol.has(1..=1).await;
}

#[tokio::test]
async fn a_slow_reader_loses_its_queue_but_no_message() {
    let fixture = Fixture::new().await;
    let (_slow, slow) = fixture.connect("bob", "slow", 3).await;
    let (_fast, fast) = fixture.connect("bob", "fast", PLENTY).await;
    for _ in 1..=300 {
        let hint = fixture.append("alice", to("bob"), 0).await;
        fixture.deliver(hint);
    }
    fast.has(1..=300).await;
    slow.has(1..=3).await;
    slow.read(PLENTY);
    slow.has(1..=300).await;
    // It is live again: what comes now comes without the store.
    let hint = fixture.append("alice", to("bob"), 0).await;
    fixture.deliver(hint);
    slow.has(1..=301).await;
}

#[tokio::test]
async fn a_device_gets_what_it_has_not_confirmed_when_it_comes_back() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["bob"]).await;
    let (connection, bob) = fixture.connect("bob", "phone", PLENTY).await;
    for _ in 1..=5 {
        let hint = fixture.append("alice", to("bob"), 0).await;
        fixture.deliver(hint);
    }
    bob.has(1..=5).await;
    let conversation = wire::Conversation::direct(user("alice"), user("bob"));
    assert!(connection.confirm(conversation, 3));
    let writer = crate::cursors::CursorWriter::new(fixture.store.clone());
    writer.mark(connection.clone());
    writer.flush().await;
    fixture.hub.remove(&connection);
    fixture.append("alice", to("bob"), 0).await;
    fixture.append("alice", Destination::Group(group), 0).await;

    let (_again, again) = fixture.connect("bob", "phone", PLENTY).await;
    again.has([4, 5, 6, 1]).await;
}

#[tokio::test]
async fn more_than_was_given_cannot_be_confirmed() {
    let fixture = Fixture::new().await;
    let (connection, bob) = fixture.connect("bob", "phone", 2).await;
    for _ in 1..=5 {
        let hint = fixture.append("alice", to("bob"), 0).await;
        fixture.deliver(hint);
    }
    bob.has(1..=2).await;
    let conversation = wire::Conversation::direct(user("alice"), user("bob"));
    connection.confirm(conversation.clone(), 5);
    assert_eq!(connection.take_confirmed(), vec![(conversation.clone(), 2)]);
    let other = wire::Conversation::direct(user("x"), user("y"));
    assert!(!connection.confirm(other, 5));
}

#[tokio::test]
async fn one_who_was_removed_gets_what_was_sent_before_and_nothing_after() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["bob", "carol"]).await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let (_carol, carol) = fixture.connect("carol", "phone", PLENTY).await;
    let first = fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.deliver(first);
    // Neither the hint of the last message before nor the one of the removal arrives.
    fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.remove(&group, "bob").await;
    let third = fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.deliver(third);
    carol.has(1..=3).await;
    bob.has(1..=2).await;
    let conversation = wire::Conversation::Group(group);
    let existing = fixture.hub.existing(&conversation).expect("carol is there");
    fixture.until("bob is unsubscribed", || !existing.holds(&_bob)).await;
}

#[tokio::test]
async fn one_whose_removal_was_not_heard_of_gets_nothing_after_it() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["bob", "carol"]).await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let (_carol, carol) = fixture.connect("carol", "phone", PLENTY).await;
    let first = fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.deliver(first);
    bob.has(1..=1).await;
    carol.has(1..=1).await;
    fixture.remove(&group, "bob").await;
    let second = fixture.append("carol", Destination::Group(group), 0).await;
    fixture.deliver(second);
    carol.has(1..=2).await;
    bob.has(1..=1).await;
}

#[tokio::test]
async fn one_who_joins_while_connected_gets_what_is_sent_from_then_on() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["carol"]).await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    fixture.append("carol", Destination::Group(group.clone()), 0).await;
    let changed =
        fixture.store.add_members(&group, vec![user("bob")]).await.expect("added").expect("a group");
    fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.deliver(wire::Payload::Membership(wire::MembershipChange {
        group,
        members_version: changed.members_version,
        users: changed.changed,
    }));
    bob.has([2]).await;
}

#[tokio::test]
async fn a_connection_that_has_ended_leaves_nothing_behind() {
    let fixture = Fixture::new().await;
    fixture.group("team", &["bob"]).await;
    let (connection, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let hint = fixture.append("alice", to("bob"), 0).await;
    fixture.deliver(hint.clone());
    bob.has(1..=1).await;
    assert_eq!((fixture.hub.user_count(), fixture.hub.group_count()), (1, 1));
    fixture.hub.remove(&connection);
    // A hint that was on its way finds nobody.
    fixture.deliver(hint);
    fixture.hub.sweep().await.expect("swept");
    assert!(fixture.hub.sequencers.is_empty());
    assert_eq!((fixture.hub.user_count(), fixture.hub.group_count()), (0, 0));
}

#[tokio::test]
async fn one_who_joined_and_left_before_a_message_gets_nothing() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["carol"]).await;
    let (bob_connection, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let (_carol, carol) = fixture.connect("carol", "phone", PLENTY).await;
    let joined = fixture.add(&group, "bob").await;
    fixture.deliver(joined);
    let conversation = wire::Conversation::Group(group.clone());
    let sequencer = fixture.hub.existing(&conversation).expect("carol is there");
    fixture.until("bob is subscribed", || sequencer.given_to(&bob_connection).is_some()).await;
    let before = sequencer.members_version();
    let left = fixture.remove(&group, "bob").await;
    fixture.deliver(left);
    fixture.until("the leaving is known", || sequencer.members_version() > before).await;
    let hint = fixture.append("carol", Destination::Group(group), 0).await;
    fixture.deliver(hint);
    carol.has([1]).await;
    bob.has([]).await;
    assert!(!sequencer.holds(&bob_connection));
}

#[tokio::test]
async fn one_who_was_removed_can_still_confirm_what_was_sent_before() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["bob", "carol"]).await;
    let (connection, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let (_carol, _) = fixture.connect("carol", "phone", PLENTY).await;
    let hint = fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.deliver(hint);
    bob.has([1]).await;
    let left = fixture.remove(&group, "bob").await;
    fixture.deliver(left);
    let conversation = wire::Conversation::Group(group);
    let sequencer = fixture.hub.existing(&conversation).expect("carol is there");
    fixture.until("bob is unsubscribed", || !sequencer.holds(&connection)).await;
    assert!(connection.confirm(conversation.clone(), 9));
    assert_eq!(connection.take_confirmed(), [(conversation, 1)]);
}

#[tokio::test]
async fn one_who_comes_back_is_not_given_again_what_the_connection_had() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["bob", "carol"]).await;
    let (connection, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let (_carol, _) = fixture.connect("carol", "phone", PLENTY).await;
    let first = fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.deliver(first);
    bob.has([1]).await;
    let left = fixture.remove(&group, "bob").await;
    fixture.deliver(left);
    let conversation = wire::Conversation::Group(group.clone());
    let sequencer = fixture.hub.existing(&conversation).expect("carol is there");
    fixture.until("bob is unsubscribed", || !sequencer.holds(&connection)).await;
    let without = fixture.append("carol", Destination::Group(group.clone()), 0).await;
    fixture.deliver(without);
    let joined = fixture.add(&group, "bob").await;
    fixture.deliver(joined);
    let third = fixture.append("carol", Destination::Group(group), 0).await;
    fixture.deliver(third);
    // Nothing of it was confirmed, so the device's cursor is before all of it.
    bob.has([1, 3]).await;
}

#[tokio::test]
async fn a_gap_that_could_not_be_read_is_filled_once_the_store_is_back() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let first = fixture.append("alice", to("bob"), 0).await;
    fixture.deliver(first);
    bob.has([1]).await;
    fixture.append("alice", to("bob"), 0).await;
    // The sweep finds the second message, and takes the inbox for compared; then it cannot be read.
    fixture.flaky.fail(Some("pages"));
    fixture.hub.sweep().await.expect("swept");
    fixture.until("the fill failed", || fixture.flaky.failures() > 0).await;
    fixture.flaky.fail(None);
    fixture.hub.sweep().await.expect("swept");
    bob.has([1, 2]).await;
}

#[tokio::test]
async fn a_join_that_the_store_interrupted_is_finished_once_it_is_back() {
    for call in ["set_interest", "cursors"] {
        let fixture = Fixture::new().await;
        let group = fixture.group("team", &["carol"]).await;
        let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
        let joined = fixture.add(&group, "bob").await;
        fixture.flaky.fail(Some(call));
        fixture.deliver(joined);
        fixture.until("the join failed", || fixture.flaky.failures() > 0).await;
        fixture.flaky.fail(None);
        fixture.hub.sweep().await.expect("swept");
        let hint = fixture.append("carol", Destination::Group(group), 0).await;
        fixture.deliver(hint);
        bob.has([1]).await;
        assert_eq!(fixture.hub.group_count(), 1, "{call}");
    }
}

#[tokio::test]
async fn of_two_connections_of_a_device_the_older_one_goes_even_if_it_comes_late() {
    let fixture = Fixture::new().await;
    let (older, older_client) = fixture.connect("bob", "phone", PLENTY).await;
    fixture.hub.remove(&older);
    let (_newer, newer_client) = fixture.connect("bob", "phone", PLENTY).await;
    // It was registered before the other one, which could not find it here, and is added after it.
    fixture.hub.add(&older);
    assert!(older_client.is_kicked());
    assert!(!newer_client.is_kicked());
}

#[tokio::test]
async fn nothing_is_sent_before_ready() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["carol"]).await;
    let (connection, bob) = fixture.register("bob", "phone", PLENTY).await;
    let joined = fixture.add(&group, "bob").await;
    fixture.deliver(joined);
    let conversation = wire::Conversation::Group(group.clone());
    let applied = || fixture.hub.existing(&conversation).is_some_and(|sequencer| sequencer.knows_members());
    fixture.until("the joining is known", applied).await;
    let hint = fixture.append("carol", Destination::Group(group), 0).await;
    fixture.deliver(hint);
    bob.has([]).await;
    fixture.hub.open_catch_up(&connection);
    bob.has([1]).await;
}
