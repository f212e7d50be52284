//! The nodes, their counters, and who is connected.

use std::sync::Arc;

use roster::EmbeddedRoster;
use serde_json::{Value, json};
use store::{Connect, DeviceKey, DeviceLimits};
use wire::{Device, NodeRef, Role};

use crate::support::{World, eventually};

fn node<'a>(cluster: &'a Value, id: &str) -> &'a Value {
    let nodes = cluster["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    nodes.iter().find(|node| node["id"] == id).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_report_to_one_node_is_shown_by_both() {
    let world = World::start(2).await;
    let spears = [world.register(Role::Spear, "spear-1").await, world.register(Role::Spear, "spear-2").await];
    world.report(0, &spears[0], 1_000, &[("connections", 2.0), ("users", 1.0), ("anything", 7.5)]).await;
    world.report(1, &spears[1], 1_000, &[("connections", 3.0), ("users", 3.0)]).await;
    for number in [0, 1] {
        let api = world.api(number);
        let seen = eventually("both stat nodes show both reports", async || {
            let (_, cluster) = api.get("/v1/cluster").await;
            let shown = |id| node(&cluster, id)["counters"]["connections"].is_number();
            (shown("spear-1") && shown("spear-2")).then_some(cluster)
        });
        let cluster = seen.await;
        let spear = node(&cluster, "spear-1");
        assert_eq!((&spear["role"], &spear["state"]), (&json!("spear"), &json!("up")));
        assert_eq!(spear["counters"], json!({"connections": 2.0, "users": 1.0, "anything": 7.5}));
        assert_eq!(spear["incarnation"], json!(spears[0].record.incarnation));
        assert_eq!(api.get("/v1/nodes/spear-1").await.1["counters"], spear["counters"]);
        let (_, totals) = api.get("/v1/totals").await;
        assert_eq!((&totals["connections"], &totals["users_online"]), (&json!(5), &json!(4)), "{totals}");
        assert_eq!(totals["latency_ms"], json!({"p50": null, "p99": null}));
    }
}

#[tokio::test]
async fn the_stat_nodes_show_themselves_with_their_addresses() {
    let world = World::start(2).await;
    let api = world.api(0);
    let shown = eventually("both stat nodes have reported", async || {
        let (_, cluster) = api.get("/v1/cluster").await;
        let reported = |id| node(&cluster, id)["counters"]["requests_total"].is_number();
        (reported("stat-1") && reported("stat-2")).then_some(cluster)
    });
    let cluster = shown.await;
    let stat = node(&cluster, "stat-2");
    assert_eq!(stat["public_url"], json!(world.url(1, "")));
    assert_ne!(
        stat["public_url"],
        json!(format!("http://127.0.0.1:{}", stat["port"])),
        "gRPC has its own port"
    );
}

#[tokio::test]
async fn history_and_rates_follow_the_reports_through_a_restart() {
    let world = World::start(1).await;
    let api = world.api(0);
    let first = world.register(Role::Spear, "spear-1").await;
    for (at, total) in [(1_000, 0.0), (2_000, 50.0)] {
        world.report(0, &first, at, &[("messages_total", total)]).await;
        eventually("the sample is taken", async || {
            let (_, history) = api.get("/v1/nodes/spear-1/history?window=1m").await;
            history["at"]
                .as_array()
                .is_some_and(|ats| ats.last() == Some(&json!(world.time(at))))
                .then_some(())
        })
        .await;
    }
    assert_eq!(api.get("/v1/totals").await.1["messages_per_second"], 50.0);

    let second = world.register(Role::Spear, "spear-1").await;
    world.report(0, &second, 3_000, &[("messages_total", 1.0)]).await;
    let history = eventually("the sample of the next start is taken", async || {
        let (_, history) = api.get("/v1/nodes/spear-1/history").await;
        (history["at"].as_array().map(Vec::len) == Some(3)).then_some(history)
    });
    let history = history.await;
    assert_eq!(history["counters"]["messages_total"], json!([0.0, 50.0, 1.0]));
    assert_ne!(history["incarnation"][1], history["incarnation"][2]);
    assert_eq!(api.get("/v1/totals").await.1["messages_per_second"], 0.0, "no negative rate");
}

#[tokio::test]
async fn a_node_that_is_gone_is_lost_and_its_users_are_offline() {
    let world = World::start(1).await;
    let api = world.api(0);
    let spear = world.register(Role::Spear, "spear-1").await;
    world.report(0, &spear, 0, &[("connections", 1.0)]).await;
    let incarnation = spear.record.incarnation;
    let key = DeviceKey { user: "alice".parse().expect("a name"), device: Device::default() };
    let to = NodeRef { id: "spear-1".into(), incarnation };
    world
        .cluster
        .store
        .connect(vec![Connect { key, node: to, limits: DeviceLimits::default() }])
        .await
        .expect("it connects");
    let (status, presence) = api.get("/v1/users/alice/presence").await;
    assert_eq!((status, &presence["online"]), (200, &json!(true)), "{presence}");
    assert_eq!(
        (&presence["devices"][0]["device"], &presence["devices"][0]["node"]),
        (&json!("default"), &json!("spear-1"))
    );
    eventually("the report is shown", async || {
        api.get("/v1/nodes/spear-1").await.1["reported_at"].is_number().then_some(())
    })
    .await;

    spear.leave().await;
    let lost = eventually("the node is lost", async || {
        let (_, lost) = api.get("/v1/nodes/spear-1").await;
        (lost["state"] == "lost").then_some(lost)
    });
    assert_eq!(lost.await["counters"]["connections"], 1.0);
    assert_eq!(api.get("/v1/totals").await.1["connections"], 0);
    let (_, presence) = api.get("/v1/users/alice/presence").await;
    assert_eq!((&presence["online"], &presence["devices"]), (&json!(false), &json!([])));
    let (status, nobody) = api.get("/v1/users/nobody/presence").await;
    assert_eq!((status, &nobody["online"], &nobody["last_seen_at"]), (200, &json!(false), &json!(null)));
}

#[tokio::test]
async fn without_the_roster_the_last_snapshot_is_shown_and_readiness_says_so() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let roster = EmbeddedRoster::open(directory.path()).await.expect("a roster");
    let world = World::start_with(1, |cluster| cluster.roster = Arc::new(roster.clone())).await;
    roster.suspect();
    let told = async |part: &str| {
        eventually("readiness follows the roster", async || {
            let report = world.readiness(0).report();
            let said = report.conditions.iter().any(|at| at.name == "roster" && at.detail.contains(part));
            (report.ready && said).then_some(())
        })
        .await;
    };
    told("out of reach since").await;
    let (status, cluster) = world.api(0).get("/v1/cluster").await;
    assert_eq!((status, &node(&cluster, "stat-1")["state"]), (200, &json!("up")));
    roster.recover();
    told("registered").await;
}

#[tokio::test]
async fn a_newer_start_of_the_same_node_ends_the_older_one() {
    let mut world = World::start(1).await;
    let _newer = world.register(Role::Stat, "stat-1").await;
    let ended = world.ended(0).await.expect_err("it must not go on");
    assert!(ended.to_string().contains("a newer start of stat-1"), "{ended}");
}

#[tokio::test]
async fn a_report_without_the_cluster_secret_is_refused() {
    let world = World::start(1).await;
    let refused = world.report_without_secret(0).await;
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_node_drains_and_leaves() {
    let mut world = World::start(2).await;
    world.stop(1).await.expect("it ends without an error");
    let api = world.api(0);
    eventually("the other node is gone from the roster", async || {
        (api.get("/v1/nodes/stat-2").await.1["state"] != "up").then_some(())
    })
    .await;
    assert_eq!(api.get("/v1/nodes/stat-1").await.1["state"], "up");
}
