//! Groups and their members.

use serde_json::json;

use crate::support::World;

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
