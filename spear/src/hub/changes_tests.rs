//! The way of changes through a hub, on a real store.

use std::sync::Arc;

use store::{Author, CursorMove, Disconnect, Logged, MarkRead, Recall};
use wire::{Change, ChangeHint, Conversation, Destination, Group, Payload};

use super::fixture::{Client, Fixture, user};
use crate::connection::Connection;

const PLENTY: usize = 10_000;

fn to(name: &str) -> Destination {
    Destination::User(user(name))
}

fn direct(one: &str, other: &str) -> Conversation {
    Conversation::direct(user(one), user(other))
}

fn hint(conversation: &Conversation, logged: &Logged, change: Change) -> Payload {
    Payload::Changed(ChangeHint {
        conversation: conversation.clone(),
        rev: logged.rev,
        previous_rev: logged.previous_rev,
        members_version: logged.members_version,
        origin_session: 0,
        audience: None,
        change,
    })
}

/// Stores a recall and answers its hint, which the caller may deliver or lose.
async fn recall(fixture: &Fixture, name: &str, conversation: &Conversation, seq: u64) -> Payload {
    let recall = Recall {
        conversation: conversation.clone(),
        seq,
        user: user(name),
        author: Author { device: None, epoch: 0, session: 0 },
        window_ms: 3_600_000,
    };
    let done = fixture.store.recall(recall).await.expect("stored").expect("not refused");
    hint(conversation, &done.logged, Change::Recalled { seq, id: done.id })
}

/// Stores a read mark and answers its hint.
async fn read(fixture: &Fixture, name: &str, conversation: &Conversation, seq: u64) -> Payload {
    let mark = MarkRead { conversation: conversation.clone(), user: user(name), seq, most_members: 200 };
    let marked = fixture.store.mark_read(vec![mark]).await.expect("stored").remove(0).expect("not refused");
    let change = Change::Read { user: user(name), read_seq: marked.read_seq };
    hint(conversation, &marked.logged.expect("it has moved"), change)
}

/// Waits until nobody here has to read a conversation from the store any more.
async fn settle(fixture: &Fixture, conversation: &Conversation) {
    let settled = || fixture.hub.existing(conversation).is_none_or(|sequencer| sequencer.is_everybody_live());
    fixture.until("everybody is live", settled).await;
}

/// Stores and delivers a message, and waits until it is settled: what is done next would be read with it.
async fn send(fixture: &Fixture, from: &str, destination: Destination) {
    let sent = fixture.append(from, destination, 0).await;
    let Payload::Message(hint) = &sent else { panic!("a message's hint: {sent:?}") };
    let conversation = hint.conversation.clone();
    fixture.deliver(sent);
    settle(fixture, &conversation).await;
}

/// Confirms everything up to `seq`, and ends the connection without saying that it has arrived.
async fn leave(fixture: &Fixture, connection: &Arc<Connection>, cursors: Vec<(Conversation, u64)>) {
    let key = connection.identity.key.clone();
    let epoch = connection.epoch();
    let moves = vec![CursorMove { key: key.clone(), epoch, cursors }];
    fixture.store.move_cursors(moves).await.expect("moved");
    fixture.hub.remove(connection);
    fixture.store.disconnect(vec![Disconnect { key, epoch, received: false }]).await.expect("ended");
}

/// Everything that a client has got, in order: `m1`, the tombstone `t1`, the recall `r1`, the receipt `bob 1`.
async fn has(client: &Client, expected: &[&str]) {
    client.has_events(expected.len()).await;
    assert_eq!(client.told(), expected);
}

#[tokio::test]
async fn a_change_reaches_all_devices_of_both_in_order() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let (_alice, alice) = fixture.connect("alice", "phone", PLENTY).await;
    for _ in 0..2 {
        send(&fixture, "alice", to("bob")).await;
    }
    let ab = direct("alice", "bob");
    for change in [read(&fixture, "bob", &ab, 1).await, recall(&fixture, "alice", &ab, 1).await] {
        fixture.deliver(change.clone());
        fixture.deliver(change);
    }
    for client in [&alice, &bob] {
        has(client, &["m1", "m2", "bob 1", "r1"]).await;
    }
}

#[tokio::test]
async fn a_connection_that_had_no_part_in_a_conversation_hears_of_its_changes() {
    let fixture = Fixture::new().await;
    let ab = direct("alice", "bob");
    let (connection, bob) = fixture.connect("bob", "phone", PLENTY).await;
    send(&fixture, "alice", to("bob")).await;
    has(&bob, &["m1"]).await;
    leave(&fixture, &connection, vec![(ab.clone(), 1)]).await;
    let (_again, again) = fixture.connect("bob", "phone", PLENTY).await;
    let (_pad, pad) = fixture.connect("bob", "pad", PLENTY).await;
    let change = recall(&fixture, "alice", &ab, 1).await;
    fixture.deliver(change);
    has(&again, &["r1"]).await;
    has(&pad, &["r1"]).await;
}

#[tokio::test]
async fn a_lost_change_is_read_before_a_later_one_is_handed_out() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let ab = direct("alice", "bob");
    for _ in 0..3 {
        send(&fixture, "alice", to("bob")).await;
    }
    recall(&fixture, "alice", &ab, 2).await;
    read(&fixture, "bob", &ab, 3).await;
    let last = recall(&fixture, "alice", &ab, 3).await;
    fixture.deliver(last);
    has(&bob, &["m1", "m2", "m3", "r2", "bob 3", "r3"]).await;
}

#[tokio::test]
async fn a_sweep_finds_changes_whose_only_hint_was_lost() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["alice", "bob"]).await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    send(&fixture, "alice", to("bob")).await;
    send(&fixture, "alice", Destination::Group(group.clone())).await;
    has(&bob, &["m1", "m1"]).await;
    recall(&fixture, "alice", &direct("alice", "bob"), 1).await;
    fixture.hub.sweep().await.expect("swept");
    has(&bob, &["m1", "m1", "r1"]).await;
    recall(&fixture, "alice", &Conversation::Group(group), 1).await;
    fixture.hub.sweep().await.expect("swept");
    has(&bob, &["m1", "m1", "r1", "r1"]).await;
    fixture.hub.sweep().await.expect("swept");
    has(&bob, &["m1", "m1", "r1", "r1"]).await;
}

/// The hint of the message is late: it must not bring the body after the recall.
#[tokio::test]
async fn nobody_gets_a_body_after_its_recall() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    send(&fixture, "alice", to("bob")).await;
    let late = fixture.append("alice", to("bob"), 0).await;
    let change = recall(&fixture, "alice", &direct("alice", "bob"), 2).await;
    fixture.deliver(change);
    fixture.deliver(late.clone());
    has(&bob, &["m1", "t2", "r2"]).await;
    fixture.deliver(late);
    has(&bob, &["m1", "t2", "r2"]).await;
}

#[tokio::test]
async fn a_device_that_comes_back_hears_what_it_missed_after_its_messages() {
    let fixture = Fixture::new().await;
    let group = fixture.group("team", &["alice", "bob"]).await;
    let in_group = Conversation::Group(group.clone());
    let ab = direct("alice", "bob");
    let (connection, bob) = fixture.connect("bob", "phone", PLENTY).await;
    for _ in 0..3 {
        send(&fixture, "alice", to("bob")).await;
    }
    send(&fixture, "alice", Destination::Group(group)).await;
    has(&bob, &["m1", "m2", "m3", "m1"]).await;
    leave(&fixture, &connection, vec![(ab.clone(), 1), (in_group.clone(), 1)]).await;
    recall(&fixture, "alice", &ab, 1).await;
    recall(&fixture, "alice", &ab, 3).await;
    recall(&fixture, "alice", &in_group, 1).await;
    let (_again, again) = fixture.connect("bob", "phone", PLENTY).await;
    has(&again, &["m2", "t3", "r1", "r3", "r1"]).await;
}

#[tokio::test]
async fn one_who_does_not_keep_up_misses_no_change() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", 3).await;
    let ab = direct("alice", "bob");
    for _ in 0..2 {
        send(&fixture, "alice", to("bob")).await;
    }
    for seq in 1..=2 {
        let change = recall(&fixture, "alice", &ab, seq).await;
        fixture.deliver(change);
    }
    has(&bob, &["m1", "m2", "r1"]).await;
    bob.read(PLENTY);
    has(&bob, &["m1", "m2", "r1", "r2"]).await;
    settle(&fixture, &ab).await;
    let change = read(&fixture, "bob", &ab, 2).await;
    fixture.flaky.fail(Some("changes"));
    fixture.deliver(change);
    has(&bob, &["m1", "m2", "r1", "r2", "bob 2"]).await;
}

#[tokio::test]
async fn a_change_that_could_not_be_read_is_told_once_the_store_is_back() {
    let fixture = Fixture::new().await;
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    send(&fixture, "alice", to("bob")).await;
    has(&bob, &["m1"]).await;
    recall(&fixture, "alice", &direct("alice", "bob"), 1).await;
    fixture.flaky.fail(Some("changes"));
    fixture.hub.sweep().await.expect("swept");
    fixture.until("the fill failed", || fixture.flaky.failures() > 0).await;
    fixture.flaky.fail(None);
    has(&bob, &["m1", "r1"]).await;
}

#[tokio::test]
async fn members_hear_of_what_is_theirs() {
    let fixture = Fixture::new().await;
    let group: Group = fixture.group("team", &["alice", "bob"]).await;
    let conversation = Conversation::Group(group.clone());
    let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
    let everybody = || Destination::Group(group.clone());
    send(&fixture, "alice", everybody()).await;
    fixture.add(&group, "carol").await;
    let (_carol, carol) = fixture.connect("carol", "phone", PLENTY).await;
    send(&fixture, "alice", everybody()).await;
    has(&bob, &["m1", "m2"]).await;
    has(&carol, &["m2"]).await;
    for seq in 1..=2 {
        let change = recall(&fixture, "alice", &conversation, seq).await;
        fixture.deliver(change);
    }
    has(&bob, &["m1", "m2", "r1", "r2"]).await;
    has(&carol, &["m2", "r2"]).await;
    // Nobody has told this node that carol was removed: the change does, since it knows of newer members.
    fixture.remove(&group, "carol").await;
    let change = read(&fixture, "bob", &conversation, 2).await;
    fixture.deliver(change);
    has(&bob, &["m1", "m2", "r1", "r2", "bob 2"]).await;
    assert_eq!(carol.told(), ["m2", "r2"]);
}

#[tokio::test]
async fn what_is_not_in_the_log_is_told_to_the_users_other_connections() {
    let fixture = Fixture::new().await;
    let (phone, on_phone) = fixture.connect("bob", "phone", PLENTY).await;
    let (_pad, on_pad) = fixture.connect("bob", "pad", PLENTY).await;
    let (_alice, alice) = fixture.connect("alice", "phone", PLENTY).await;
    let conversation = Conversation::Group("large".parse().expect("a name"));
    fixture.deliver(Payload::Changed(ChangeHint {
        conversation,
        rev: 0,
        previous_rev: 0,
        members_version: 0,
        origin_session: phone.identity.session,
        audience: Some(user("bob")),
        change: Change::Read { user: user("bob"), read_seq: 7 },
    }));
    has(&on_pad, &["bob 7"]).await;
    assert!(on_phone.told().is_empty() && alice.told().is_empty());
}

#[tokio::test]
async fn a_connection_has_not_given_everything_while_something_waits_or_may_be_on_its_way() {
    let fixture = Fixture::new().await;
    let (connection, bob) = fixture.connect("bob", "phone", 0).await;
    assert!(connection.caught_up_since().is_none(), "what it has missed is not known yet");
    connection.resumed();
    assert!(connection.caught_up_since().is_some());
    assert!(!fixture.hub.has_received_everything(&connection), "not for a heartbeat yet");
    let sent = fixture.append("alice", to("bob"), 0).await;
    fixture.deliver(sent);
    assert!(connection.caught_up_since().is_none(), "its queue is full");
    bob.read(PLENTY);
    has(&bob, &["m1"]).await;
    fixture.until("it has caught up", || connection.caught_up_since().is_some()).await;
}
