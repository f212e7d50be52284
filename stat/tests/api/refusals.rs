//! What is refused, and how.

use serde_json::json;

use crate::support::{KEY, SCOPED, World};

#[tokio::test]
async fn without_a_good_key_nothing_is_told() {
    let world = World::start(1).await;
    let url = world.url(0, "/v1/cluster");
    let client = reqwest::Client::new();
    let status = async |authorization: Option<&str>| {
        let request = client.get(&url);
        let request = match authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        if response.status() == 401 {
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
        response.status().as_u16()
    };
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some("Bearer wrong")).await, 401);
    assert_eq!(status(Some("Basic ZGV2")).await, 401);
    assert_eq!(status(Some(&format!("Bearer {KEY}x"))).await, 401);
    assert_eq!(status(Some(&format!("Bearer {KEY}"))).await, 200);
    assert_eq!(status(Some("Bearer dev-api-key")).await, 200, "embedded, and on loopback");
}

#[tokio::test]
async fn the_dev_key_does_not_open_a_cluster_that_is_not_embedded() {
    let world = World::start_with(1, |cluster| cluster.embedded = false).await;
    let client = reqwest::Client::new();
    let url = world.url(0, "/v1/cluster");
    let response = client.get(url).bearer_auth("dev-api-key").send().await.expect("an answer");
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn the_dev_key_does_not_come_through_a_proxy_or_a_foreign_name() {
    let world = World::start(1).await;
    let client = reqwest::Client::new();
    for (name, value) in [("x-forwarded-for", "192.0.2.1"), ("host", "evil.example")] {
        let request = client.get(world.url(0, "/v1/cluster")).bearer_auth("dev-api-key").header(name, value);
        assert_eq!(request.send().await.expect("an answer").status(), 401, "{name}");
    }
}

#[tokio::test]
async fn a_key_opens_what_its_scope_says_and_the_refusal_names_the_scope() {
    let world = World::start(1).await;
    for (scope, key) in SCOPED {
        let api = world.api_with(0, key);
        let (user, message) = (json!({"users": ["alice"]}), json!({"to": {"user": "alice"}, "body": 1}));
        let calls = [
            ("manage", api.put("/v1/groups/team", json!({})).await),
            ("manage", api.put("/v1/groups/team/members", user.clone()).await),
            ("manage", api.delete("/v1/groups/team/members", Some(user)).await),
            ("manage", api.put("/v1/users/mallory/ban", json!({})).await),
            ("manage", api.delete("/v1/users/mallory/ban", None).await),
            ("read", api.get("/v1/cluster").await),
            ("read", api.get("/v1/totals").await),
            ("read", api.get("/v1/users/alice/presence").await),
            ("read", api.get("/v1/conversations/u:alice:bob/messages").await),
            ("send", api.post("/v1/messages", message).await),
        ];
        for (number, (needed, (status, answer))) in calls.iter().enumerate() {
            let is_open = *needed == scope.as_str();
            assert_eq!(*status < 300, is_open, "{scope:?}, call {number}: {answer}");
            if !is_open {
                let detail = format!("the API key {} does not have the scope {needed}", scope.as_str());
                assert_eq!(
                    (*status, &answer["code"], &answer["detail"]),
                    (403, &json!("forbidden"), &json!(detail))
                );
            }
        }
    }
    // A wrong method is told to everybody whose key is known.
    assert_eq!(world.api_with(0, SCOPED[0].1).post("/v1/groups/team", json!({})).await.0, 405);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_as_a_problem() {
    let world = World::start(1).await;
    let api = world.api(0);
    api.put("/v1/groups/team", json!({})).await;
    let message = |extra: serde_json::Value| {
        let mut message = json!({"to": {"user": "a"}, "body": 1});
        message.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        message
    };
    let refused = [
        api.put("/v1/groups/team", json!({"opne": true})).await,
        api.put("/v1/groups/te%2Fam", json!({})).await,
        api.put("/v1/groups/team/members", json!({"users": []})).await,
        api.put("/v1/groups/team/members", json!({"users": ["a b"]})).await,
        api.put("/v1/groups/team/members", json!({})).await,
        api.put("/v1/groups/team/members", json!([["alice"]])).await,
        api.post("/v1/users/alice/kick", json!([null, null])).await,
        api.post("/v1/users/alice/kick", json!({"reason": "x".repeat(257)})).await,
        api.get("/v1/groups/team/members?limit=x").await,
        api.get("/v1/groups/team/members?page=1").await,
        api.get("/v1/groups/team/members?limit=9007199254740992").await,
        api.get("/v1/conversations/u:b:a/messages").await,
        api.get("/v1/nodes/stat-1/history?window=5").await,
        api.post("/v1/messages", message(json!({"colour": "red"}))).await,
        api.post("/v1/messages", message(json!({"to": {"all": false}}))).await,
        api.post("/v1/messages", message(json!({"to": {"all": true, "user": "a"}}))).await,
        api.post("/v1/messages", message(json!({"to": {"room": "a b"}}))).await,
        api.post("/v1/messages", message(json!({"cid": "x".repeat(65)}))).await,
    ];
    for (number, (status, problem)) in refused.iter().enumerate() {
        assert_eq!((*status, &problem["code"]), (400, &json!("bad_request")), "case {number}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
}

#[tokio::test]
async fn other_paths_methods_and_sizes_are_problems_too() {
    let world = World::start(1).await;
    let api = world.api(0);
    let (status, problem) = api.get("/v2/cluster").await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    let (status, problem) = api.get("/v1/nodes/spear-9").await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    let (status, problem) = api.post("/v1/cluster", json!({})).await;
    assert_eq!((status, &problem["code"]), (405, &json!("bad_request")));

    let (status, problem) =
        api.post("/v1/messages", json!({"to": {"user": "a"}, "body": "x".repeat(70_000)})).await;
    assert_eq!((status, &problem["code"]), (413, &json!("too_large")), "more than a message may hold");
    let (status, problem) =
        api.post("/v1/messages", json!({"to": {"user": "a"}, "body": "x".repeat(300_000)})).await;
    assert_eq!((status, &problem["code"]), (413, &json!("too_large")), "more than a request may hold");

    let text = reqwest::Client::new().post(world.url(0, "/v1/messages")).bearer_auth(KEY).body("{}");
    assert_eq!(text.send().await.expect("an answer").status(), 415);
}
