//! Orders to spears: told until the roster shows that they were carried out.

use relay::Subscription;
use serde_json::json;
use stat::Scope;
use wire::{Drain, DrainOrder, Hint, NodeState, Payload, Role};

use crate::support::{SCOPED, World, eventually};

async fn order(heard: &mut Subscription) -> Drain {
    let hint = Hint::decode(heard.hints.recv().await.expect("a hint")).expect("our own bytes");
    match hint.payload {
        Payload::Drain(drain) => drain,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_is_told_again_until_the_roster_shows_it() {
    let world = World::start(1).await;
    let spear = world.register(Role::Spear, "spear-1").await;
    let _other = world.register(Role::Spear, "spear-2").await;
    let api = world.api(0);
    for id in ["spear-1", "spear-2"] {
        let path = format!("/v1/nodes/{id}");
        eventually("the spears are shown", async || (api.get(&path).await.0 == 200).then_some(())).await;
    }
    let mut heard = world.cluster.relay.subscribe("spear-1").await.expect("a subscription");

    let asking = api.post("/v1/nodes/spear-1/drain", json!({"after_ms": 5}));
    let hearing = async {
        let first = order(&mut heard).await;
        assert_eq!(first.order, DrainOrder::Leave { within_ms: Some(5) });
        assert_eq!(order(&mut heard).await, first, "the same order");
        spear.show(NodeState::Draining).await;
        first
    };
    let ((status, node), first) = tokio::join!(asking, hearing);
    assert_eq!((status, &node["state"]), (200, &json!("draining")), "{node}");

    let undraining = api.post("/v1/nodes/spear-1/undrain", json!(null));
    let hearing = async {
        let next = loop {
            let next = order(&mut heard).await;
            if next.id != first.id {
                break next;
            }
        };
        spear.show(NodeState::Up).await;
        next.order
    };
    let ((status, node), next) = tokio::join!(undraining, hearing);
    assert_eq!((status, &node["state"], next), (200, &json!("up"), DrainOrder::Stay), "{node}");

    let (status, problem) = api.post("/v1/nodes/spear-1/drain", json!({"hold": true})).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "nobody carries it out");
}

#[tokio::test]
async fn the_last_spear_is_not_drained() {
    let world = World::start(1).await;
    let _spear = world.register(Role::Spear, "spear-1").await;
    let api = world.api(0);
    eventually("the spear is shown", async || (api.get("/v1/nodes/spear-1").await.0 == 200).then_some(()))
        .await;
    for (path, body) in
        [("drain", json!({})), ("drain", json!({"hold": true})), ("shed", json!({"share": 0.5}))]
    {
        let (status, problem) = api.post(&format!("/v1/nodes/spear-1/{path}"), body).await;
        assert_eq!(status, 409, "{path}: {problem}");
    }
    for (scope, key) in SCOPED.into_iter().filter(|(scope, _)| *scope != Scope::Manage) {
        for path in ["drain", "undrain", "shed"] {
            let api = world.api_with(0, key);
            let (status, _) = api.post(&format!("/v1/nodes/spear-1/{path}"), json!({"share": 0.5})).await;
            assert_eq!(status, 403, "{scope:?} {path}");
        }
    }
    assert_eq!(api.post("/v1/nodes/stat-1/drain", json!({})).await.0, 409);
    assert_eq!(api.post("/v1/nodes/spear-2/drain", json!({})).await.0, 404);
}
