//! Sending as a back end, and reading history.

use serde_json::{Value, json};
use stat::Scope;
use wire::{BroadcastHint, Hint, Payload, Role};

use crate::support::{SCOPED, World, eventually};

#[tokio::test]
async fn a_message_is_stored_once_for_each_cid_and_can_be_read() {
    let world = World::start(2).await;
    let api = world.api(0);
    let message = json!({"from": "bob", "to": {"user": "alice"}, "type": "note", "body": {"a": [1, null]}, "cid": "c1"});
    let (status, sent) = api.post("/v1/messages", message.clone()).await;
    assert_eq!(status, 200, "{sent}");
    assert_eq!((&sent["seq"], &sent["conversation"]), (&json!(1), &json!("u:alice:bob")));
    assert_eq!(sent["duplicate"], false);
    assert!(sent["id"].is_string(), "an id is a string: {sent}");

    // Through the other node: the store knows the cid.
    let (_, again) = world.api(1).post("/v1/messages", message).await;
    assert_eq!((&again["id"], &again["seq"], &again["duplicate"]), (&sent["id"], &json!(1), &json!(true)));

    let (status, page) = api.get("/v1/conversations/u:alice:bob/messages").await;
    assert_eq!((status, &page["last_seq"], &page["more"]), (200, &json!(1), &json!(false)), "{page}");
    let stored = &page["messages"][0];
    assert_eq!(
        (&stored["from"], &stored["type"], &stored["cid"]),
        (&json!("bob"), &json!("note"), &json!("c1"))
    );
    assert_eq!((&stored["body"], &stored["id"]), (&json!({"a": [1, null]}), &sent["id"]));
}

#[tokio::test]
async fn the_system_writes_to_a_group_that_it_is_not_in_and_users_do_not() {
    let world = World::start(1).await;
    let api = world.api(0);
    api.put("/v1/groups/team", json!({})).await;
    api.put("/v1/groups/team/members", json!({"users": ["alice"]})).await;
    let to = json!({"group": "team"});
    assert_eq!(api.post("/v1/messages", json!({"to": to, "body": "from above"})).await.0, 200);
    assert_eq!(api.post("/v1/messages", json!({"from": "alice", "to": to, "body": 1})).await.0, 200);
    let (status, problem) = api.post("/v1/messages", json!({"from": "bob", "to": to, "body": 2})).await;
    assert_eq!((status, &problem["code"]), (403, &json!("not_member")));
    let (status, problem) = api.post("/v1/messages", json!({"to": {"group": "none"}, "body": 3})).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));

    let (_, page) = api.get("/v1/conversations/g:team/messages").await;
    let senders: Vec<&Value> =
        page["messages"].as_array().expect("a list").iter().map(|m| &m["from"]).collect();
    assert_eq!(senders, [&json!("system"), &json!("alice")]);
}

#[tokio::test]
async fn a_message_to_a_room_is_handed_over_and_not_stored() {
    let world = World::start(1).await;
    let api = world.api(0);
    let message = json!({"to": {"room": "lobby"}, "body": "to whoever is there"});
    let (status, sent) = api.post("/v1/messages", message).await;
    assert_eq!(status, 200, "{sent}");
    assert!(sent["id"].is_string() && sent["sent_at"].is_i64(), "{sent}");
    assert_eq!(sent.as_object().expect("an object").len(), 2, "{sent}");
    assert_eq!(api.get("/v1/conversations/r:lobby/messages").await.0, 400);
}

#[tokio::test]
async fn a_message_to_everybody_is_handed_to_every_spear_and_needs_two_scopes() {
    let world = World::start(1).await;
    let registered = world.register(Role::Spear, "spear-1").await;
    let api = world.api(0);
    eventually("the spear is shown", async || (api.get("/v1/nodes/spear-1").await.0 == 200).then_some(()))
        .await;
    let mut heard = world.cluster.relay.subscribe("spear-1").await.expect("a subscription");
    let message = json!({"to": {"all": true}, "type": "notice", "body": {"a": 1}, "cid": "c"});
    let (status, sent) = api.post("/v1/messages", message.clone()).await;
    assert_eq!(status, 200, "{sent}");
    assert_eq!(sent.as_object().expect("an object").len(), 2, "{sent}");

    let hint = heard.hints.recv().await.expect("a hint");
    let hint = Hint::decode(hint).expect("our own bytes");
    assert_eq!(hint.target_incarnation, registered.record.incarnation);
    let Payload::Broadcast(BroadcastHint { sent_at, json }) = hint.payload else { panic!("{hint:?}") };
    let event: Value = serde_json::from_slice(&json).expect("JSON");
    let expected = json!({
        "conversation": "all", "id": sent["id"], "cid": "c", "from": "system", "to": {"all": true}, "type": "notice",
        "body": {"a": 1}, "sent_at": sent["sent_at"],
    });
    assert_eq!((&event, &json!(sent_at)), (&expected, &sent["sent_at"]));

    for (scope, key) in SCOPED.into_iter().filter(|(scope, _)| *scope != Scope::Read) {
        let (status, problem) = world.api_with(0, key).post("/v1/messages", message.clone()).await;
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{scope:?}");
    }
}

#[tokio::test]
async fn history_is_read_from_either_end() {
    let world = World::start(1).await;
    let api = world.api(0);
    for number in 1..=5 {
        let message = json!({"from": "a:1", "to": {"user": "b"}, "body": number});
        assert_eq!(api.post("/v1/messages", message).await.0, 200);
    }
    let path = "/v1/conversations/u:a%253A1:b/messages";
    let bodies = async |query: &str| {
        let (status, page) = api.get(&format!("{path}?{query}")).await;
        assert_eq!(status, 200, "{page}");
        let numbers = page["messages"].as_array().expect("a list").iter();
        (numbers.map(|m| m["body"].as_u64().expect("a number")).collect::<Vec<_>>(), page["more"] == true)
    };
    assert_eq!(bodies("limit=2").await, (vec![4, 5], true));
    assert_eq!(bodies("limit=2&before=4").await, (vec![2, 3], true));
    assert_eq!(bodies("limit=2&after=1").await, (vec![2, 3], true));
    assert_eq!(bodies("after=3").await, (vec![4, 5], false));
    assert_eq!(bodies("after=1&before=4").await, (vec![2, 3], false));
}
