//! What is not stored: messages to rooms, signals, presence; as a node does it that holds no connections of its own.

#[allow(dead_code, missing_docs, unreachable_pub)]
mod support;

use std::{sync::atomic::Ordering, time::Duration};

use conversation::{Limits, Refusal, SignalRequest};
use roster::Snapshot;
use serde_json::{Value, json, value::RawValue};
use store::{InterestChange, RoomCount};
use support::{Fixture, request, to, user};
use tokio::time;
use wire::{Code, Destination, Incarnation, NodeRecord, NodeRef, NodeState, Payload, Role, Room, SignalHint};

/// How long a test waits for something that must happen.
const BUDGET: Duration = Duration::from_secs(10);

fn room(name: &str) -> Room {
    name.parse().expect("a name")
}

/// The spear holds members of a room.
async fn hold(fixture: &Fixture, name: &str) {
    let counts = vec![RoomCount { room: room(name), members: 1 }];
    fixture.store.set_room_members(&fixture.spear, counts).await.expect("the store works");
}

fn signal(fixture: &Fixture, to: Destination, body: &str) -> Result<(), Refusal> {
    let body = RawValue::from_string(body.to_owned()).expect("JSON").into();
    let request = SignalRequest { from: user("alice"), session: 7, to, kind: "typing".into(), body };
    fixture.conversations.signal(&request, 10)
}

async fn next_signal(fixture: &mut Fixture) -> SignalHint {
    match fixture.hint().await {
        Payload::Signal(signal) => signal,
        other => panic!("expected a signal, not {other:?}"),
    }
}

#[tokio::test]
async fn a_message_to_a_room_goes_to_the_nodes_that_hold_members_in_the_order_of_the_calls() {
    let mut fixture = Fixture::new(Limits::default()).await;
    hold(&fixture, "lobby").await;
    let to = || Destination::Room(room("lobby"));
    let pending: Vec<_> = (0..500)
        .map(|n| fixture.conversations.send_to_room(request("alice", to(), Some("c"), &n.to_string())))
        .collect();
    let mut sent = Vec::new();
    for pending in pending {
        sent.push(pending.await.expect("sent"));
    }
    assert!(sent.is_sorted_by_key(|sent| sent.id));
    for (n, sent) in sent.iter().enumerate() {
        let Payload::RoomMessage(hint) = fixture.hint().await else { panic!("a message to a room") };
        assert_eq!((hint.room, hint.sent_at), (room("lobby"), sent.sent_at));
        let message: Value = serde_json::from_slice(&hint.json).expect("JSON");
        let expected = json!({
            "conversation": "r:lobby", "id": sent.id.to_string(), "cid": "c", "from": "alice",
            "to": {"room": "lobby"}, "type": "text", "body": n, "sent_at": sent.sent_at,
        });
        assert_eq!(message, expected);
    }
}

#[tokio::test]
async fn a_message_to_a_room_is_checked_like_any_other() {
    let limits = Limits { body_bytes: 10, ..Limits::default() };
    let fixture = Fixture::new(limits).await;
    let code = async |request| fixture.conversations.send_to_room(request).await.expect_err("refused").code;
    let lobby = || Destination::Room(room("lobby"));
    assert_eq!(code(request("alice", lobby(), None, "\"ten bytes\"")).await, Code::TooLarge);
    assert_eq!(code(request("alice", lobby(), Some(""), "1")).await, Code::BadRequest);
    assert_eq!(code(request("alice", to("bob"), None, "1")).await, Code::BadRequest);
    fixture.ids_available.store(false, Ordering::Relaxed);
    assert_eq!(code(request("alice", lobby(), None, "1")).await, Code::Unavailable);
}

#[tokio::test]
async fn a_signal_goes_where_its_receivers_are() {
    let mut fixture = Fixture::new(Limits::default()).await;
    fixture.connect("bob").await;
    hold(&fixture, "lobby").await;
    let group = fixture.group("team", &["bob"]).await;
    let interest = vec![InterestChange { group: group.clone(), interested: true }];
    fixture.store.set_interest(&fixture.spear, interest).await.expect("the store works");
    // Of the members that were added.
    assert!(matches!(fixture.hint().await, Payload::Membership(_)));
    for to in [to("bob"), Destination::Group(group), Destination::Room(room("lobby"))] {
        // Nobody holds these: what comes next is the one after.
        signal(&fixture, Destination::User(user("away")), "0").expect("taken");
        signal(&fixture, Destination::Room(room("empty")), "0").expect("taken");
        signal(&fixture, to.clone(), "1").expect("taken");
        let told = next_signal(&mut fixture).await;
        assert_eq!((&told.to, told.origin_session), (&to, 7));
        let event: Value = serde_json::from_slice(&told.json).expect("JSON");
        assert_eq!(event, json!({"from": "alice", "to": to, "type": "typing", "body": 1}));
    }
}

#[tokio::test]
async fn a_senders_signals_keep_their_order() {
    let mut fixture = Fixture::new(Limits::default()).await;
    fixture.connect("bob").await;
    for n in 0..500 {
        signal(&fixture, to("bob"), &n.to_string()).expect("taken");
    }
    for n in 0..500 {
        let event: Value = serde_json::from_slice(&next_signal(&mut fixture).await.json).expect("JSON");
        assert_eq!(event["body"], n);
    }
}

/// No append says that the routing of a group has changed.
#[tokio::test]
async fn a_group_without_messages_gets_signals_on_nodes_that_came_later() {
    let mut fixture = Fixture::new(Limits::default()).await;
    let group = fixture.group("team", &["bob"]).await;
    fixture.connect("carol").await;
    let to_group = || Destination::Group(group.clone());
    signal(&fixture, to_group(), "1").expect("taken");
    signal(&fixture, to("carol"), "2").expect("taken");
    assert_eq!(next_signal(&mut fixture).await.to, to("carol"), "nobody wants those of the group yet");
    let interest = vec![InterestChange { group: group.clone(), interested: true }];
    fixture.store.set_interest(&fixture.spear, interest).await.expect("the store works");
    let arrives = async {
        loop {
            signal(&fixture, to_group(), "3").expect("taken");
            signal(&fixture, to("carol"), "4").expect("taken");
            if next_signal(&mut fixture).await.to == to_group() {
                return;
            }
        }
    };
    time::timeout(BUDGET, arrives).await.expect("a routing is looked at again");
}

#[tokio::test]
async fn a_signal_that_is_too_large_or_one_too_many_is_refused() {
    let fixture = Fixture::new(Limits::default()).await;
    assert_eq!(signal(&fixture, to("bob"), "\"ten bytes\"").expect_err("refused").code, Code::TooLarge);
    // Nothing is carried while this does not wait for anything.
    let refused = (0..100_000).find_map(|_| signal(&fixture, to("bob"), "1").err());
    assert_eq!(refused.expect("the queue has a bound").code, Code::Unavailable);
}

#[tokio::test]
async fn presence_counts_only_for_the_start_of_a_node_that_is_in_the_roster() {
    let fixture = Fixture::new(Limits::default()).await;
    fixture.connect("bob").await;
    let NodeRef { id, incarnation } = fixture.spear.clone();
    let record = |incarnation| NodeRecord {
        id: id.clone(),
        role: Role::Spear,
        incarnation,
        host: String::new(),
        port: 0,
        public_url: String::new(),
        admin_url: String::new(),
        weight: 1,
        state: NodeState::Up,
        version: String::new(),
        started_at: 0,
    };
    let users = || vec![user("nobody"), user("bob"), user("bob")];
    let presence = async |snapshot: Snapshot| {
        let found = fixture.conversations.presence(users(), &snapshot).await.expect("the store works");
        assert_eq!(found.len(), 2, "each user once");
        assert_eq!(found[&user("nobody")].last_seen_at, None);
        found[&user("bob")].clone()
    };
    let here = presence(Snapshot::new([record(incarnation)])).await;
    assert!(here.online && here.last_seen_at.is_some());
    assert_eq!(here.devices[0].node, id);
    for snapshot in [Snapshot::default(), Snapshot::new([record(Incarnation(incarnation.0 + 1))])] {
        let gone = presence(snapshot).await;
        assert!(!gone.online && gone.devices.is_empty());
        assert_eq!(gone.last_seen_at, here.last_seen_at);
    }
}
