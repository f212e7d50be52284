//! The router as a browser meets it, with stat nodes of the tests' own behind it.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use boot::{NodeContext, Secret};
use roster::Snapshot;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};
use tower::ServiceExt;
use wire::{NodeRecord, NodeState, Role};

use crate::{Settings, router};

const KEY: &str = "0123456789abcdef";

fn settings() -> Settings {
    Settings {
        stat_url: String::new(),
        ticket_url: String::new(),
        api_key: Secret::from(KEY),
        stat_timeout_ms: 2_000,
    }
}

fn record(role: Role, id: &str, url: String) -> NodeRecord {
    NodeRecord { public_url: url, ..NodeContext::for_test(role, id).record(NodeState::Up) }
}

fn app(settings: &Settings, records: Vec<NodeRecord>) -> Router {
    let (_, snapshot) = watch::channel(Arc::new(Snapshot::new(records)));
    let node = NodeContext::for_test(Role::MinionsUi, "minions-ui-1");
    router(settings, &node, false, snapshot).expect("settings that can be used")
}

async fn ask(
    app: &Router,
    path: &str,
    headers: &[(header::HeaderName, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = app.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    (parts.status, parts.headers, body.to_vec())
}

async fn ask_json(app: &Router, path: &str) -> (StatusCode, Value) {
    let (status, _, body) = ask(app, path, &[]).await;
    (status, serde_json::from_slice(&body).expect("JSON"))
}

/// A server that answers every path in the same way, until the test ends; its address.
async fn server(status: StatusCode) -> String {
    let answer = move |headers: HeaderMap| async move {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match shown == Some(&format!("Bearer {KEY}")) {
            true => (status, r#"{"nodes":[]}"#).into_response(),
            false => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(get(answer))).await });
    format!("http://{address}")
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

#[tokio::test]
async fn the_page_is_checked_again_and_its_files_are_kept_for_good() {
    let app = app(&settings(), vec![]);
    let (status, headers, body) = ask(&app, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
    assert!(
        headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .is_ok_and(|policy| policy.contains("script-src 'self'"))
    );
    let etag = headers[header::ETAG].to_str().expect("ASCII");
    let (status, _, nothing) = ask(&app, "/", &[(header::IF_NONE_MATCH, etag)]).await;
    assert_eq!((status, nothing.len()), (StatusCode::NOT_MODIFIED, 0));

    let html = String::from_utf8(body).expect("UTF-8");
    let script =
        html.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js")).expect("a script");
    let (status, headers, _) = ask(&app, script, &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let app = app(&settings(), vec![]);
    for path in ["/nothing", "/api/nothing", "/../Cargo.toml", "/assets/"] {
        let (status, body) = ask_json(&app, path).await;
        assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &Value::from("not_found")), "{path}");
    }
    let post = Request::post("/api/cluster").body(Body::empty()).expect("a request");
    let status = app.oneshot(post).await.expect("infallible").status();
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_next_stat_node_answers_where_one_fails() {
    let nodes = vec![
        record(Role::Stat, "stat-1", nobody().await),
        record(Role::Stat, "stat-2", server(StatusCode::SERVICE_UNAVAILABLE).await),
        record(Role::Stat, "stat-3", server(StatusCode::OK).await),
    ];
    let app = app(&settings(), nodes);
    for _ in 0..2 {
        let (status, headers, body) = ask(&app, "/api/cluster", &[]).await;
        assert_eq!((status, body.as_slice()), (StatusCode::OK, br#"{"nodes":[]}"#.as_slice()));
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }
}

#[tokio::test]
async fn without_stat_the_problem_says_what_was_tried() {
    let (status, body) = ask_json(&app(&settings(), vec![]), "/api/totals").await;
    assert_eq!(
        (status, &body["detail"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"no stat node is in the roster".into())
    );
    let url = nobody().await;
    let fixed = Settings { stat_url: url.clone(), ..settings() };
    let (status, body) = ask_json(&app(&fixed, vec![]), "/api/totals").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["detail"], format!("no stat node answers: {url} cannot be reached"));
}

#[tokio::test]
async fn a_refused_key_is_named_and_never_shown() {
    let wrong = Settings { api_key: "another-key-of-20-b".into(), ..settings() };
    let app = app(&wrong, vec![record(Role::Stat, "stat-1", server(StatusCode::OK).await)]);
    let (status, body) = ask_json(&app, "/api/cluster").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let detail = body["detail"].as_str().expect("a text");
    assert!(detail.contains("minions-ui.api_key") && !detail.contains("another-key"), "{detail}");
}

#[tokio::test]
async fn one_node_is_asked_for_by_a_proper_id() {
    let app = app(&settings(), vec![record(Role::Stat, "stat-1", server(StatusCode::NOT_FOUND).await)]);
    assert_eq!(ask_json(&app, "/api/nodes/spear-9").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask_json(&app, "/api/nodes/..%2F..").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_page_learns_where_ticket_is() {
    let (_, config) = ask_json(&app(&settings(), vec![]), "/api/config").await;
    assert_eq!(config["ticket_url"], "");
    let ticket = record(Role::Ticket, "ticket-1", "http://127.0.0.1:20000".into());
    let (_, config) = ask_json(&app(&settings(), vec![ticket.clone()]), "/api/config").await;
    assert_eq!(config["ticket_url"], "http://127.0.0.1:20000");
    let fixed = Settings { ticket_url: "https://chat.example/".into(), ..settings() };
    let (_, config) = ask_json(&app(&fixed, vec![ticket]), "/api/config").await;
    assert_eq!(config["ticket_url"], "https://chat.example");
}
