//! What ticket answers over HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        ConnectInfo, DefaultBodyLimit, Query, Request, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use boot::{Cluster, Problem};
use metrics::{Counter, Label, counter};
use serde::{Deserialize, de::DeserializeOwned};
use store::Store;
use token::TokenChecker;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use wire::{Code, Device, User};

use crate::{
    address,
    dev_token::{self, DevToken, DevTokenRequest, DevTokens},
    issue::{Assignment, Issuer},
    rate::KeyedLimit,
    settings::Settings,
};

/// The most spears that one request may avoid.
const AVOID_MAX: usize = 64;

/// For how long a browser may remember what it may send, in seconds.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(3600);

/// The doors of one ticket node.
pub(crate) struct Api {
    issuer: Issuer,
    tokens: TokenChecker,
    dev_tokens: Option<DevTokens>,
    by_address: KeyedLimit,
    by_user: KeyedLimit,
    trust_forwarded_for: bool,
    token_in_query: bool,
    body_bytes: usize,
    request_timeout: Duration,
    origins: AllowOrigin,
    store: Arc<dyn Store>,
    issued: Counter,
    labels: Vec<Label>,
}

/// What may be said beside the token.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketRequest {
    #[serde(default)]
    device: Option<Device>,
    #[serde(default)]
    avoid: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketQuery {
    token: String,
    #[serde(default)]
    device: Option<Device>,
    /// Ids with commas between them.
    #[serde(default)]
    avoid: String,
}

impl Api {
    pub(crate) fn new(
        settings: &Settings,
        cluster: &Cluster,
        issuer: Issuer,
        tokens: TokenChecker,
        labels: Vec<Label>,
    ) -> anyhow::Result<Self> {
        let limits = &settings.limits;
        Ok(Self {
            issuer,
            tokens,
            dev_tokens: cluster.token_key.as_ref().filter(|_| cluster.embedded).map(DevTokens::new),
            by_address: KeyedLimit::new(limits.address_per_second, limits.address_burst),
            by_user: KeyedLimit::new(limits.user_per_second, limits.user_burst),
            trust_forwarded_for: limits.trust_forwarded_for,
            token_in_query: settings.token_in_query.is_on(cluster.embedded),
            body_bytes: limits.body_bytes,
            request_timeout: Duration::from_millis(limits.request_timeout_ms),
            store: cluster.store.clone(),
            origins: settings.cors.allow_origin(cluster.embedded).context("ticket")?,
            issued: counter!("phalanx_ticket_requests_total", with_code(&labels, "ok")),
            labels,
        })
    }

    /// All routes. The server must say who the caller is (`ConnectInfo`).
    pub(crate) fn router(self) -> Router {
        let tickets = match self.token_in_query {
            true => post(ticket).get(ticket_by_query),
            false => post(ticket),
        };
        let cors = CorsLayer::new()
            .allow_origin(self.origins.clone())
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([header::RETRY_AFTER])
            .max_age(PREFLIGHT_MAX_AGE);
        let body_limit = DefaultBodyLimit::max(self.body_bytes);
        let api = Arc::new(self);
        Router::new()
            .route("/v1/tickets", tickets)
            .route("/dev/token", post(dev))
            .route("/healthz", get(async || "ok\n"))
            .fallback(Problem::unknown_path)
            .method_not_allowed_fallback(Problem::wrong_method)
            .layer(body_limit)
            .layer(from_fn_with_state(api.clone(), watched))
            .layer(CatchPanicLayer::custom(|_| Problem::internal().into_response()))
            .layer(cors)
            .with_state(api)
    }

    /// # Errors
    /// [`Code::RateLimited`].
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Problem> {
        let address = address::client(peer, headers, self.trust_forwarded_for);
        self.by_address.check(&address).map_err(|wait| slow_down("this address", wait))
    }

    async fn assign(&self, token: &str, request: TicketRequest) -> Result<Json<Assignment>, Problem> {
        let now_ms = wire::time::now_ms();
        let token = self.tokens.check(token, now_ms)?;
        self.by_user.check(&token.user).map_err(|wait| slow_down("this user", wait))?;
        self.check_ban(&token.user).await?;
        if request.avoid.len() > AVOID_MAX {
            return Err(Problem::new(Code::BadRequest, format!("avoid: expected at most {AVOID_MAX} ids")));
        }
        let assignment = self.issuer.issue(&token, request.device, &request.avoid, now_ms)?;
        self.issued.increment(1);
        Ok(Json(assignment))
    }

    /// # Errors
    /// [`Code::Banned`]. A list that cannot be read keeps nobody out here: the spear asks it again.
    async fn check_ban(&self, user: &User) -> Result<(), Problem> {
        match self.store.is_banned(user).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Problem::new(Code::Banned, "this user is banned")),
            Err(error) => {
                tracing::warn!(%error, "the ban list cannot be read");
                Ok(())
            }
        }
    }
}

/// `POST /v1/tickets`.
async fn ticket(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Assignment>, Problem> {
    api.admit(peer, &headers)?;
    let body = whole(body)?;
    let token = bearer(&headers)?;
    let request = if body.is_empty() { TicketRequest::default() } else { parsed(&body)? };
    api.assign(token, request).await
}

/// `GET /v1/tickets?token=`.
async fn ticket_by_query(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    query: Result<Query<TicketQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    api.admit(peer, &headers)?;
    let Query(query) = query?;
    let avoid = query.avoid.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    let assignment = api.assign(&query.token, TicketRequest { device: query.device, avoid }).await?;
    // A ticket serves once: no cache may give it to another.
    Ok(([(header::CACHE_CONTROL, "no-store")], assignment).into_response())
}

/// `POST /dev/token`.
async fn dev(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<DevToken>, Problem> {
    let Some(dev_tokens) = api.dev_tokens.as_ref().filter(|_| dev_token::is_local(peer, &headers)) else {
        return Err(Problem::unknown_path().await);
    };
    api.admit(peer, &headers)?;
    let request: DevTokenRequest = parsed(&whole(body)?)?;
    dev_tokens.sign(&request, wire::time::now_ms()).map(Json)
}

/// Bounds the time of a request, and counts and logs how it ended: method and path only, for the query may hold a token.
async fn watched(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = tokio::time::timeout(api.request_timeout, next.run(request)).await;
    let response = answered.unwrap_or_else(|_| {
        Problem::new(Code::Unavailable, "the request took too long")
            .status(StatusCode::REQUEST_TIMEOUT)
            .into_response()
    });
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        counter!("phalanx_ticket_requests_total", with_code(&api.labels, status_label(status))).increment(1);
    }
    tracing::debug!(%method, path, status = status.as_u16(), "answered");
    response
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::new(Code::TokenInvalid, "expected the header Authorization: Bearer <token>");
    let value =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    Ok(token.trim())
}

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge, "the body is larger than allowed"),
        _ => Problem::new(Code::BadRequest, "the body could not be read"),
    })
}

/// Whatever the content type says: `curl -d` says it is a form.
fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Serde would take a list for an object too, and fill the fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Code::BadRequest, "the body is not as expected: it must be a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::BadRequest, format!("the body is not as expected: {error}")))
}

fn slow_down(whom: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(Code::RateLimited, format!("too many requests of {whom}")).retry_after_s(seconds)
}

/// A few values only, whatever is asked.
fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "bad_request",
        401 => "token",
        403 => "forbidden",
        404 | 405 => "not_found",
        413 => "too_large",
        429 => "rate_limited",
        503 => "no_spear",
        _ => "other",
    }
}

fn with_code(labels: &[Label], code: &'static str) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push(Label::new("code", code));
    labels
}
