//! The doors, as a client finds them.

use std::{net::SocketAddr, path::Path};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode, header},
    response::Response,
};
use boot::Cluster;
use serde_json::{Value, json};
use token::TokenChecker;
use tower::ServiceExt;
use wire::{TicketClaims, TicketKey, TicketKeys};

use crate::{
    http::Api,
    issue::Issuer,
    settings::Settings,
    spears::Spears,
    testing::{self, settings},
};

const LOOPBACK: &str = "127.0.0.1:5000";

/// A cluster with two spears, and the doors to it.
struct Door {
    cluster: Cluster,
    router: Router,
    _spears: Vec<Box<dyn roster::Registration>>,
    _directory: tempfile::TempDir,
}

impl Door {
    async fn open(settings: Settings) -> Self {
        Self::with(settings, &["spear-1", "spear-2"], |_| {}).await
    }

    async fn with(settings: Settings, spears: &[&str], change: impl FnOnce(&mut Cluster)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (cluster, registered) = cluster(directory.path(), spears, change).await;
        let (_, loads) = tokio::sync::watch::channel(None);
        let condition = boot::Readiness::default().condition("roster", "");
        let roster = Spears::new(&*cluster.roster, loads, &settings.balance, condition, Vec::new());
        let key = TicketKey::new(cluster.ticket_key.kid.clone(), cluster.ticket_key.bytes());
        let issuer = Issuer::new(roster.plan(), key, &settings.tickets);
        let tokens = TokenChecker::new(&cluster.jwt, cluster.token_key.as_ref()).expect("a key");
        let api = Api::new(&settings, &cluster, issuer, tokens, Vec::new()).expect("good settings");
        Self { cluster, router: api.router(), _spears: registered, _directory: directory }
    }

    async fn ask_from(&self, peer: &str, mut request: Request<Body>) -> (StatusCode, Value, Response<()>) {
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (parts.status, json, Response::from_parts(parts, ()))
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let (status, body, _) = self.ask_from(LOOPBACK, request).await;
        (status, body)
    }

    async fn ticket(&self, token: &str, body: Value) -> (StatusCode, Value) {
        self.ask(post("/v1/tickets", Some(token), body.to_string())).await
    }

    fn token(&self, claims: &Value) -> String {
        testing::token(self.cluster.token_key.as_ref().expect("embedded"), claims)
    }

    fn token_of(&self, user: &str) -> String {
        self.token(&json!({"sub": user, "exp": in_an_hour()}))
    }

    fn claims(&self, ticket: &Value) -> TicketClaims {
        let key = TicketKey::new(self.cluster.ticket_key.kid.clone(), self.cluster.ticket_key.bytes());
        let ticket = ticket.as_str().expect("a ticket");
        TicketKeys::new([key]).verify(ticket, wire::time::now_ms()).expect("a good ticket")
    }
}

async fn cluster(
    directory: &Path,
    spears: &[&str],
    change: impl FnOnce(&mut Cluster),
) -> (Cluster, Vec<Box<dyn roster::Registration>>) {
    let mut cluster = Cluster::for_test(directory).await.expect("a cluster");
    change(&mut cluster);
    let mut registered = Vec::new();
    for id in spears {
        registered.push(cluster.roster.register(testing::spear(id)).await.expect("registers"));
    }
    (cluster, registered)
}

fn in_an_hour() -> i64 {
    wire::time::now_ms() / 1000 + 3600
}

fn post(path: &str, token: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header(header::HOST, "127.0.0.1:20000");
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    request.body(body.into()).expect("a request")
}

#[tokio::test]
async fn a_token_becomes_a_ticket_for_one_spear_and_an_alternate() {
    let door = Door::open(settings()).await;
    let (status, answer) = door.ticket(&door.token_of("alice"), json!({"device": "phone-1"})).await;
    assert_eq!(status, StatusCode::OK);
    let claims = door.claims(&answer["ticket"]);
    assert_eq!((claims.user.as_str(), claims.device.as_str()), ("alice", "phone-1"));
    assert_eq!(answer["spear"]["id"], *claims.spear);
    assert_eq!(answer["spear"]["url"], format!("http://{}.test", claims.spear));
    assert_eq!(answer["expires_at"], claims.expires_at);
    assert_eq!(claims.incarnation.0, 7);
    let alternates = answer["alternates"].as_array().expect("a list");
    assert_eq!(alternates.len(), 1);
    let other = door.claims(&alternates[0]["ticket"]);
    assert_ne!(other.spear, claims.spear);
    assert_ne!(other.jti, claims.jti);
}

#[tokio::test]
async fn no_body_means_the_default_device_or_the_tokens() {
    let door = Door::open(settings()).await;
    let (_, answer) = door.ask(post("/v1/tickets", Some(&door.token_of("alice")), Body::empty())).await;
    assert_eq!(door.claims(&answer["ticket"]).device.as_str(), "default");
    let bound = door.token(&json!({"sub": "alice", "exp": in_an_hour(), "device": "tv"}));
    let (_, answer) = door.ask(post("/v1/tickets", Some(&bound), Body::empty())).await;
    assert_eq!(door.claims(&answer["ticket"]).device.as_str(), "tv");
    let (status, answer) = door.ticket(&bound, json!({"device": "phone"})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!("device_mismatch")));
}

#[tokio::test]
async fn who_avoids_a_spear_is_sent_elsewhere() {
    let door = Door::open(settings()).await;
    let token = door.token_of("alice");
    let (_, first) = door.ticket(&token, json!({})).await;
    let (_, second) = door.ticket(&token, json!({"avoid": [first["spear"]["id"]]})).await;
    assert_eq!(second["spear"], first["alternates"][0]["spear"]);
    assert_eq!(second["alternates"], json!([]));
    let (status, none) = door.ticket(&token, json!({"avoid": ["spear-1", "spear-2"]})).await;
    assert_eq!((status, &none["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("no_spear")));
    let (status, answer) = door.ticket(&token, json!({"avoid": vec!["x"; 65]})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));
}

#[tokio::test]
async fn without_a_spear_it_says_when_to_come_back() {
    let door = Door::with(settings(), &[], |_| {}).await;
    let request = post("/v1/tickets", Some(&door.token_of("alice")), Body::empty());
    let (status, problem, response) = door.ask_from(LOOPBACK, request).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("no_spear")));
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!((&problem["status"], &problem["type"]), (&json!(503), &json!("about:blank")));
}

#[tokio::test]
async fn tokens_that_are_missing_expired_or_false_are_told_apart() {
    let door = Door::open(settings()).await;
    let refused = async |token: Option<&str>| {
        let (status, problem) = door.ask(post("/v1/tickets", token, Body::empty())).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        problem["code"].as_str().expect("a code").to_owned()
    };
    assert_eq!(refused(None).await, "token_invalid");
    assert_eq!(refused(Some("nonsense")).await, "token_invalid");
    let old = door.token(&json!({"sub": "alice", "exp": wire::time::now_ms() / 1000 - 10}));
    assert_eq!(refused(Some(&old)).await, "token_expired");
}

#[tokio::test]
async fn bodies_that_are_too_large_or_not_understood_are_refused() {
    let door = Door::open(settings()).await;
    let token = door.token_of("alice");
    let (status, answer) = door.ask(post("/v1/tickets", Some(&token), "x".repeat(5000))).await;
    assert_eq!((status, &answer["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large")));
    for body in
        ["{", "[]", r#"{"devise": "a"}"#, r#"{"device": "a b"}"#, r#"{"device": 1}"#, r#"{"avoid": "a"}"#]
    {
        let (status, answer) = door.ask(post("/v1/tickets", Some(&token), body)).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{body}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_taken_where_the_setting_says_so() {
    let door = Door::open(settings()).await;
    let uri = format!("/v1/tickets?token={}&device=tv&avoid=spear-1,spear-9", door.token_of("alice"));
    let (status, answer) = door.ask(Request::get(&uri).body(Body::empty()).expect("a request")).await;
    assert_eq!((status, &answer["spear"]["id"]), (StatusCode::OK, &json!("spear-2")));
    assert_eq!(door.claims(&answer["ticket"]).device.as_str(), "tv");

    let mut off = settings();
    off.token_in_query = crate::settings::Switch::Off;
    let door = Door::open(off).await;
    let (status, _) = door.ask(Request::get(&uri).body(Body::empty()).expect("a request")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn dev_tokens_are_for_this_machine_and_work() {
    let door = Door::open(settings()).await;
    let body = || json!({"user": "alice", "device": "tv", "scope": ["monitor"], "ttl": 60}).to_string();
    let (status, answer) = door.ask(post("/dev/token", None, body())).await;
    assert_eq!(status, StatusCode::OK);
    let (status, ticket) = door.ticket(answer["token"].as_str().expect("a token"), json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let claims = door.claims(&ticket["ticket"]);
    assert_eq!((claims.device.as_str(), claims.scope.as_slice()), ("tv", ["monitor".to_owned()].as_slice()));
    assert_eq!(claims.token_expires_at, answer["expires_at"]);

    let (status, _, _) = door.ask_from("10.1.2.3:5000", post("/dev/token", None, body())).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for body in [json!({"user": "system"}), json!({"user": "a", "ttl": 0}), json!({"user": ""}), json!({})] {
        assert_eq!(door.ask(post("/dev/token", None, body.to_string())).await.0, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn outside_the_embedded_cluster_there_are_no_dev_tokens() {
    let door = Door::with(settings(), &["spear-1"], |cluster| cluster.embedded = false).await;
    let (status, _) = door.ask(post("/dev/token", None, r#"{"user":"alice"}"#)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_user_and_one_address_may_ask_so_often() {
    let mut limited = settings();
    (limited.limits.user_per_second, limited.limits.user_burst) = (1, 2);
    let door = Door::open(limited).await;
    let token = door.token_of("alice");
    assert_eq!(door.ticket(&token, json!({})).await.0, StatusCode::OK);
    assert_eq!(door.ticket(&token, json!({})).await.0, StatusCode::OK);
    let request = post("/v1/tickets", Some(&token), Body::empty());
    let (status, problem, response) = door.ask_from(LOOPBACK, request).await;
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limited")));
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");

    let mut limited = settings();
    (limited.limits.address_per_second, limited.limits.address_burst) = (1, 1);
    let door = Door::open(limited).await;
    // Not even a bad token may be tried without end.
    assert_eq!(door.ticket("nonsense", json!({})).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(door.ticket("nonsense", json!({})).await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn web_pages_may_ask_from_the_origins_that_are_allowed() {
    let preflight = || {
        Request::options("/v1/tickets")
            .header(header::ORIGIN, "https://app.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type")
            .body(Body::empty())
            .expect("a request")
    };
    let allowed = async |origins: &[&str], embedded: bool| {
        let mut settings = settings();
        settings.cors.origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let door = Door::with(settings, &[], |cluster| cluster.embedded = embedded).await;
        let (_, _, response) = door.ask_from(LOOPBACK, preflight()).await;
        response
            .headers()
            .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            .map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(allowed(&[], true).await.as_deref(), Some("*"));
    assert_eq!(allowed(&[], false).await, None);
    assert_eq!(allowed(&["https://app.example"], false).await.as_deref(), Some("https://app.example"));
    assert_eq!(allowed(&["https://other.example"], false).await, None);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let door = Door::open(settings()).await;
    let (status, problem) = door.ask(Request::get("/nothing").body(Body::empty()).expect("a request")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
}
