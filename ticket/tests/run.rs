//! A whole ticket node over a real socket, from start to drain.

use std::time::Duration;

use boot::{Cluster, NodeContext, Shutdown};
use serde_json::{Value, json};
use ticket::{Balance, Limits, Settings, Switch, TicketSettings};
use wire::{Incarnation, NodeRecord, NodeState, Role};

fn settings() -> Settings {
    Settings {
        token_in_query: Switch::Embedded,
        tickets: TicketSettings { ttl_ms: 30_000, alternates: 2 },
        balance: Balance { bound_percent: 125, min_connections: 100, stale_ms: 5_000 },
        cors: boot::CorsSettings::default(),
        limits: Limits {
            body_bytes: 4_096,
            request_timeout_ms: 2_000,
            address_per_second: 100,
            address_burst: 100,
            user_per_second: 100,
            user_burst: 100,
            trust_forwarded_for: false,
        },
    }
}

#[tokio::test]
async fn a_node_gets_ready_answers_and_drains() {
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::for_test(directory.path()).await.expect("a cluster");
    let node = NodeContext::for_test(Role::Ticket, "ticket-1");
    let (trigger, shutdown) = Shutdown::new(Duration::from_secs(2));
    let running = tokio::spawn(ticket::run(settings(), node.clone(), cluster.clone(), shutdown));
    tokio::time::timeout(Duration::from_secs(5), node.readiness.ready()).await.expect("it gets ready");
    assert!(cluster.roster.watch().borrow().get(Role::Ticket, "ticket-1").is_some(), "it is in the roster");

    let client = reqwest::Client::new();
    let url = node.public_url();
    let dev = client.post(format!("{url}/dev/token")).body(r#"{"user":"alice"}"#).send();
    let dev: Value = dev.await.expect("an answer").json().await.expect("JSON");
    let token = dev["token"].as_str().expect("a token");
    let ask = || client.post(format!("{url}/v1/tickets")).bearer_auth(token).json(&json!({})).send();
    assert_eq!(ask().await.expect("an answer").status(), 503, "there is no spear yet");

    let spear = NodeRecord {
        id: "spear-1".into(),
        role: Role::Spear,
        incarnation: Incarnation(1),
        host: "127.0.0.1".into(),
        port: 1,
        public_url: "http://127.0.0.1:1".into(),
        admin_url: String::new(),
        weight: 1,
        state: NodeState::Up,
        version: String::new(),
        started_at: 0,
    };
    let _spear = cluster.roster.register(spear).await.expect("registers");
    let assigned = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let answer = ask().await.expect("an answer");
            if answer.status() == 200 {
                return answer.json::<Value>().await.expect("JSON");
            }
        }
    });
    assert_eq!(assigned.await.expect("the spear is seen")["spear"]["url"], "http://127.0.0.1:1");

    trigger.request();
    running.await.expect("no panic").expect("a clean end");
    assert!(cluster.roster.watch().borrow().get(Role::Ticket, "ticket-1").is_none(), "it has left");
}
