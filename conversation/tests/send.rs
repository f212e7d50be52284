//! What `send` checks, in which order messages are stored, and who is told.

#[allow(dead_code, missing_docs, unreachable_pub)]
mod support;

use std::sync::atomic::Ordering;

use conversation::Limits;
use support::{Fixture, request, to};
use wire::{Code, Destination, Payload};

#[tokio::test]
async fn sends_that_overlap_are_stored_in_the_order_of_the_calls() {
    let fixture = Fixture::new(Limits::default()).await;
    let pending: Vec<_> = (0..500)
        .map(|n| fixture.conversations.send(request("alice", to("bob"), None, &n.to_string())))
        .collect();
    for (n, pending) in pending.into_iter().enumerate() {
        let sent = pending.await.expect("stored");
        assert_eq!((sent.seq, sent.duplicate), (n as u64 + 1, false));
    }
}

#[tokio::test]
async fn the_node_that_holds_a_recipient_is_told() {
    let mut fixture = Fixture::new(Limits::default()).await;
    fixture.connect("bob").await;
    let sent = fixture.send("alice", to("bob"), "\"hello\"").await.expect("stored");
    let Payload::Message(hint) = fixture.hint().await else { panic!("a message was sent") };
    assert_eq!((hint.seq, hint.conversation), (sent.seq, sent.conversation));
    let message: wire::Message = serde_json::from_slice(&hint.json).expect("JSON");
    assert_eq!((message.id, message.body.get()), (sent.id, "\"hello\""));
}

#[tokio::test]
async fn a_cid_that_is_repeated_answers_the_first_message() {
    let fixture = Fixture::new(Limits::default()).await;
    let send = || fixture.conversations.send(request("alice", to("bob"), Some("c1"), "1"));
    let (first, again) = (send().await.expect("stored"), send().await.expect("known"));
    assert!(again.duplicate && !first.duplicate);
    assert_eq!((first.id, first.seq), (again.id, again.seq));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_its_code() {
    let limits = Limits { body_bytes: 10, ..Limits::default() };
    let fixture = Fixture::new(limits).await;
    let group = fixture.group("team", &["bob"]).await;
    let code = async |request| fixture.conversations.send(request).await.expect_err("refused").code;

    assert_eq!(code(request("alice", to("bob"), None, "\"ten bytes\"")).await, Code::TooLarge);
    assert_eq!(code(request("alice", to("bob"), Some(""), "1")).await, Code::BadRequest);
    assert_eq!(code(request("alice", to("bob"), Some(&"x".repeat(65)), "1")).await, Code::BadRequest);
    assert_eq!(code(request("alice", Destination::Group(group), None, "1")).await, Code::NotMember);
    let nowhere = Destination::Group("nowhere".parse().expect("a name"));
    assert_eq!(code(request("alice", nowhere, None, "1")).await, Code::NotFound);
}

#[tokio::test]
async fn without_ids_a_send_is_unavailable_and_nothing_is_stored() {
    let fixture = Fixture::new(Limits::default()).await;
    fixture.ids_available.store(false, Ordering::Relaxed);
    let refusal = fixture.send("alice", to("bob"), "1").await.expect_err("refused");
    assert_eq!(refusal.code, Code::Unavailable);
    assert!(refusal.retry_after_ms.is_some());
    fixture.ids_available.store(true, Ordering::Relaxed);
    assert_eq!(fixture.send("alice", to("bob"), "1").await.expect("stored").seq, 1);
}

#[tokio::test]
async fn new_members_are_announced_to_the_nodes_that_hold_them() {
    let mut fixture = Fixture::new(Limits::default()).await;
    fixture.connect("bob").await;
    let group = fixture.group("team", &["alice", "bob"]).await;
    let Payload::Membership(change) = fixture.hint().await else { panic!("members were added") };
    assert_eq!(change.group, group);
    assert!(change.users.contains(&support::user("bob")));
    assert!(change.members_version > 0);
}
