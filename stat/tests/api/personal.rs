//! Erasing a user, and all that is kept of one.

use serde_json::{Value, json};
use store::{Connect, DeviceKey, DeviceLimits};
use wire::{Device, Role, User};

use crate::support::{Api, KEY, World, eventually};

async fn send(api: &Api, from: &str, to: Value, body: u64) {
    let (status, sent) = api.post("/v1/messages", json!({"from": from, "to": to, "body": body})).await;
    assert_eq!(status, 200, "{sent}");
}

async fn bodies(api: &Api, conversation: &str) -> Vec<Value> {
    let (status, page) = api.get(&format!("/v1/conversations/{conversation}/messages")).await;
    assert_eq!(status, 200, "{page}");
    let messages = page["messages"].as_array().expect("a list").clone();
    messages.into_iter().map(|message| message["body"].clone()).collect()
}

/// The lines of an export.
async fn export(world: &World, user: &str) -> Vec<Value> {
    let url = world.url(0, &format!("/v1/users/{user}/export"));
    let request = reqwest::Client::new().get(url).bearer_auth(KEY);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.expect("all of it");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["kind"].as_str().expect("a kind")).collect()
}

async fn connect(world: &World, user: &str, device: &str, spear: &wire::NodeRef) {
    let key = DeviceKey {
        user: User::new(user).expect("a user's name"),
        device: Device::new(device).expect("a device's name"),
    };
    let connect = Connect { key, node: spear.clone(), limits: DeviceLimits::default() };
    world.cluster.store.connect(vec![connect]).await.expect("the store works");
}

/// Alice and bob talk, and both are in a group that alice owns.
async fn town(world: &World) -> Api {
    let api = world.api(0);
    api.put("/v1/groups/team", json!({"owner": "alice"})).await;
    api.put("/v1/groups/team/members", json!({"users": ["alice", "bob"]})).await;
    for (number, (from, to)) in (1..).zip([("alice", "bob"), ("bob", "alice"), ("alice", "bob")]) {
        send(&api, from, json!({"user": to}), number).await;
        send(&api, from, json!({"group": "team"}), number).await;
    }
    // As a back end that removes her and writes on.
    api.delete("/v1/groups/team/members", Some(json!({"users": ["alice"]}))).await;
    send(&api, "bob", json!({"group": "team"}), 4).await;
    api
}

#[tokio::test]
async fn of_an_erased_user_tombstones_are_left_and_what_others_have_said() {
    let world = World::start(2).await;
    let api = town(&world).await;
    // A device of a spear that is gone keeps nobody waiting.
    let gone = wire::NodeRef { id: "spear-9".into(), incarnation: wire::Incarnation(1) };
    connect(&world, "alice", "phone", &gone).await;
    api.put("/v1/users/alice/ban", json!({})).await;

    let (status, erased) = api.delete("/v1/users/alice", None).await;
    assert_eq!((status, erased), (200, json!({"messages": 4, "conversations": 2})));
    let null = Value::Null;
    assert_eq!(bodies(&api, "u:alice:bob").await, [null.clone(), json!(2), null.clone()]);
    assert_eq!(bodies(&api, "g:team").await, [null.clone(), json!(2), null, json!(4)]);
    assert_eq!(api.get("/v1/groups/team").await.1["owner"], json!(null));
    let (_, presence) = api.get("/v1/users/alice/presence").await;
    assert_eq!(presence, json!({"user": "alice", "online": false, "devices": [], "last_seen_at": null}));
    assert_eq!(kinds(&export(&world, "alice").await), ["user", "end"]);
    assert_eq!(export(&world, "alice").await[0]["banned"], true, "a ban stays");

    // Bob has lost nothing, and the other node finds nothing to do.
    let (_, again) = world.api(1).delete("/v1/users/alice", None).await;
    assert_eq!(again, json!({"messages": 0, "conversations": 0}));
    let of_bob = export(&world, "bob").await;
    assert_eq!(kinds(&of_bob).iter().filter(|kind| **kind == "message").count(), 7);
    assert_eq!(api.get("/v1/groups/team/members").await.1["members"], json!(["bob"]));
}

#[tokio::test]
async fn what_was_said_in_a_group_that_is_no_more_is_erased_too() {
    let world = World::start(1).await;
    let api = town(&world).await;
    api.delete("/v1/groups/team", None).await;
    assert_eq!(api.delete("/v1/users/alice", None).await.1, json!({"messages": 4, "conversations": 2}));
    assert_eq!(bodies(&api, "g:team").await, [json!(null), json!(2), json!(null), json!(4)]);
}

#[tokio::test]
async fn many_messages_are_erased_and_told_page_by_page() {
    let world = World::start(1).await;
    let api = world.api(0);
    for number in 0..1_100 {
        let (from, to) = if number % 10 == 0 { ("bob", "alice") } else { ("alice", "bob") };
        send(&api, from, json!({"user": to}), number).await;
    }
    let lines = export(&world, "alice").await;
    assert_eq!(lines.last().expect("an end")["messages"], 1_100);
    let told: Vec<u64> = lines.iter().filter_map(|line| line["message"]["body"].as_u64()).collect();
    assert_eq!(told, (0..1_100).collect::<Vec<_>>());
    let (_, erased) = api.delete("/v1/users/alice", None).await;
    assert_eq!(erased, json!({"messages": 990, "conversations": 1}));
    let lines = export(&world, "bob").await;
    let left = lines.iter().filter(|line| line["message"]["body"].is_u64()).count();
    assert_eq!(left, 110);
}

#[tokio::test]
async fn one_whose_connection_does_not_end_is_not_erased() {
    let world = World::start(1).await;
    let api = town(&world).await;
    let registered = world.register(Role::Spear, "spear-1").await;
    eventually("the spear is shown", async || (api.get("/v1/nodes/spear-1").await.0 == 200).then_some(()))
        .await;
    // Nobody listens there.
    connect(&world, "alice", "phone", &registered.record.node_ref()).await;
    let (status, problem) = api.delete("/v1/users/alice", None).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
    assert_eq!(bodies(&api, "u:alice:bob").await, [json!(1), json!(2), json!(3)]);
    registered.leave().await;
    eventually("the spear is gone", async || {
        (api.get("/v1/users/alice/presence").await.1["online"] == false).then_some(())
    })
    .await;
    assert_eq!(api.delete("/v1/users/alice", None).await.1, json!({"messages": 4, "conversations": 2}));
}

#[tokio::test]
async fn an_export_tells_everything_that_is_a_users_and_nothing_that_is_not() {
    let world = World::start(1).await;
    drop(town(&world).await);
    let gone = wire::NodeRef { id: "spear-9".into(), incarnation: wire::Incarnation(1) };
    connect(&world, "alice", "phone", &gone).await;
    connect(&world, "alice", "pad", &gone).await;
    let lines = export(&world, "alice").await;
    let expected = ["user", "device", "device"]
        .into_iter()
        .chain(["conversation", "message", "message", "message"].repeat(2));
    assert_eq!(kinds(&lines), expected.chain(["end"]).collect::<Vec<_>>());
    assert_eq!((&lines[0]["user"], &lines[0]["banned"]), (&json!("alice"), &json!(false)));
    assert!(lines[0]["last_seen_at"].is_i64() && lines[0]["exported_at"].is_i64(), "{}", lines[0]);
    assert_eq!((&lines[1]["device"], &lines[2]["device"]), (&json!("pad"), &json!("phone")));
    assert!(lines[1]["last_seen_at"].is_i64(), "{}", lines[1]);
    let direct = json!({"kind": "conversation", "conversation": "u:alice:bob", "read_seq": 3});
    assert_eq!(lines[3], direct);
    assert_eq!(lines[4]["message"]["body"], 1);
    let spans = json!([{"joined_seq": 1, "left_seq": 4}]);
    let group = json!({"kind": "conversation", "conversation": "g:team", "read_seq": 3, "spans": spans});
    assert_eq!(lines[7], group);
    assert_eq!(lines[10]["message"]["seq"], 3, "what came after she had left is not hers");
    assert_eq!(lines[11], json!({"kind": "end", "conversations": 2, "messages": 6}));
    assert_eq!(kinds(&export(&world, "nobody").await), ["user", "end"]);
}
