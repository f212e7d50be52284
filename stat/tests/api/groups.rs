//! Groups and their members.

use serde_json::json;
use store::{Connect, DeviceKey, DeviceLimits, Disconnect};
use wire::{Device, Incarnation, NodeRef, Role, User};

use crate::support::{World, eventually};

#[tokio::test]
async fn a_group_is_made_changed_shown_and_removed() {
    let world = World::start(1).await;
    let api = world.api(0);
    let (status, made) =
        api.put("/v1/groups/team", json!({"open": true, "name": "The team", "owner": "alice"})).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["group"], &made["open"], &made["owner"]),
        (&json!("team"), &json!(true), &json!("alice"))
    );
    assert_eq!(made["members"], 0);

    let (status, changed) = api.put("/v1/groups/team", json!({"name": "Team"})).await;
    assert_eq!((status, &changed["open"], &changed["owner"]), (200, &json!(false), &json!(null)));
    assert_eq!(changed["created_at"], made["created_at"]);
    assert_eq!(api.get("/v1/groups/team").await, (200, changed));

    assert_eq!(api.delete("/v1/groups/team", None).await.0, 204);
    for (status, problem) in [api.get("/v1/groups/team").await, api.delete("/v1/groups/team", None).await] {
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    }
}

#[tokio::test]
async fn members_come_and_go_and_are_listed_in_pages() {
    let world = World::start(1).await;
    let api = world.api(0);
    let users = json!({"users": ["carol", "alice", "bob"]});
    let (status, problem) = api.put("/v1/groups/team/members", users.clone()).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));

    api.put("/v1/groups/team", json!({})).await;
    let (status, added) = api.put("/v1/groups/team/members", users).await;
    assert_eq!((status, &added["members"]), (200, &json!(3)), "{added}");
    let (_, added) = api.put("/v1/groups/team/members", json!({"users": ["alice", "dave"]})).await;
    assert_eq!(added, json!({"changed": ["dave"], "members": 4}));
    let (_, removed) = api.delete("/v1/groups/team/members", Some(json!({"users": ["dave", "eve"]}))).await;
    assert_eq!(removed, json!({"changed": ["dave"], "members": 3}));

    let (_, first) = api.get("/v1/groups/team/members?limit=2").await;
    assert_eq!(first, json!({"members": ["alice", "bob"], "cursor": "bob"}));
    let (_, rest) = api.get("/v1/groups/team/members?limit=2&cursor=bob").await;
    assert_eq!(rest, json!({"members": ["carol"], "cursor": null}));
    assert_eq!(api.get("/v1/groups/team").await.1["members"], 3);
}

#[tokio::test]
async fn what_one_node_changes_the_other_shows() {
    let world = World::start(2).await;
    world.api(0).put("/v1/groups/team", json!({"open": true})).await;
    world.api(0).put("/v1/groups/team/members", json!({"users": ["alice"]})).await;
    let (status, group) = world.api(1).get("/v1/groups/team").await;
    assert_eq!((status, &group["members"]), (200, &json!(1)));
}

fn device(user: &str, device: &str) -> DeviceKey {
    DeviceKey {
        user: User::new(user).expect("a user's name"),
        device: Device::new(device).expect("a device's name"),
    }
}

#[tokio::test]
async fn statistics_count_members_those_online_and_the_messages_of_a_minute() {
    let world = World::start(1).await;
    let api = world.api(0);
    let (status, problem) = api.get("/v1/groups/team/stats").await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));

    api.put("/v1/groups/team", json!({})).await;
    let nothing = json!({"group": "team", "members": 0, "online": 0, "messages_per_minute": 0});
    assert_eq!(api.get("/v1/groups/team/stats").await, (200, nothing));

    api.put("/v1/groups/team/members", json!({"users": ["alice", "bob", "carol", "dave"]})).await;
    let registered = world.register(Role::Spear, "spear-1").await;
    let spear = registered.record.node_ref();
    let earlier = NodeRef { incarnation: Incarnation(spear.incarnation.0 - 1), ..spear.clone() };
    let gone = NodeRef { id: "spear-9".into(), ..spear.clone() };
    // Alice counts once; carol's and dave's connections went with their spears; mallory is no member.
    let held = [
        ("alice", "phone", &spear),
        ("alice", "pad", &spear),
        ("carol", "phone", &gone),
        ("dave", "phone", &earlier),
        ("mallory", "phone", &spear),
    ];
    let batch = held.map(|(user, name, node)| Connect {
        key: device(user, name),
        node: node.clone(),
        limits: DeviceLimits::default(),
    });
    let connected = world.cluster.store.connect(batch.into()).await.expect("the store works");
    for number in 0..3 {
        let (status, sent) = api.post("/v1/messages", json!({"to": {"group": "team"}, "body": number})).await;
        assert_eq!(status, 200, "{sent}");
    }
    eventually("the spear is shown", async || (api.get("/v1/nodes/spear-1").await.0 == 200).then_some(()))
        .await;
    let some = json!({"group": "team", "members": 4, "online": 1, "messages_per_minute": 3});
    assert_eq!(api.get("/v1/groups/team/stats").await, (200, some));

    for (name, connected) in ["phone", "pad"].into_iter().zip(connected) {
        let end = Disconnect { key: device("alice", name), epoch: connected.epoch, received: false };
        world.cluster.store.disconnect(vec![end]).await.expect("the store works");
    }
    assert_eq!(api.get("/v1/groups/team/stats").await.1["online"], 0);
}

#[tokio::test]
async fn statistics_of_a_large_group_are_counted_page_by_page() {
    let world = World::start(1).await;
    let api = world.api(0);
    api.put("/v1/groups/town", json!({})).await;
    let names: Vec<String> = (0..2_500).map(|n| format!("u{n:04}")).collect();
    for names in names.chunks(1_000) {
        assert_eq!(api.put("/v1/groups/town/members", json!({"users": names})).await.0, 200);
    }
    let registered = world.register(Role::Spear, "spear-1").await;
    let spear = registered.record.node_ref();
    // Some of each page.
    let online = names.iter().step_by(5);
    let batch = online
        .map(|name| Connect {
            key: device(name, "phone"),
            node: spear.clone(),
            limits: DeviceLimits::default(),
        })
        .collect();
    world.cluster.store.connect(batch).await.expect("the store works");
    eventually("the spear is shown", async || (api.get("/v1/nodes/spear-1").await.0 == 200).then_some(()))
        .await;
    let (_, stats) = api.get("/v1/groups/town/stats").await;
    assert_eq!((&stats["members"], &stats["online"]), (&json!(2_500), &json!(500)), "{stats}");
}
