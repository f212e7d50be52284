//! The business API (CONTRACT §6).
//!
//! | file | what |
//! |---|---|
//! | `keys.rs` | who may come in, and where |
//! | `gate.rs` | at most so many requests at once, each bounded in time, all counted |
//! | `extract.rs` | bodies, paths and queries, refused as problem+json |
//! | `cluster.rs` | `/v1/cluster`, `/v1/nodes/…`, `/v1/totals` |
//! | `drain.rs` | `/v1/nodes/…/drain` and the like |
//! | `groups.rs`, `group_stats.rs` | `/v1/groups/…` |
//! | `messages.rs` | `/v1/messages`, `/v1/conversations/…` |
//! | `users.rs` | `/v1/users/…` |
//! | `personal.rs` | erasing a user, and all that is kept of one |
//! | `openapi.rs` | `/openapi.json`, made of what is routed |
//! | `schemas.rs` | what other crates put into bodies, as that document describes it |

mod cluster;
mod drain;
mod extract;
mod gate;
mod group_stats;
mod groups;
mod keys;
mod messages;
mod openapi;
mod personal;
mod schemas;
mod users;

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, extract::DefaultBodyLimit, middleware};
use boot::{Cluster, Problem};
use conversation::{Conversations, Refusal};
use metrics::Label;
use store::Store;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{gate::Gate, keys::Keys};
use crate::{api_key::Scope, observed::Observed, settings::Settings};

/// What the handlers work on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    conversations: Conversations,
    store: Arc<dyn Store>,
    observed: Observed,
    history_window_ms: i64,
    body_bytes: usize,
    keys: Keys,
    gate: Gate,
    /// Turns of `group_stats.rs`.
    look_ups: Arc<Semaphore>,
    /// Turns of `personal.rs`.
    personal: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(
        settings: &Settings,
        cluster: &Cluster,
        labels: Vec<Label>,
        conversations: Conversations,
        observed: Observed,
    ) -> Self {
        let limits = &settings.limits;
        let timeout = Duration::from_millis(limits.request_timeout_ms);
        let inner = Inner {
            conversations,
            store: cluster.store.clone(),
            observed,
            history_window_ms: i64::from(settings.history_minutes) * 60_000,
            body_bytes: limits.body_bytes,
            keys: Keys::new(&settings.api_keys, cluster.embedded),
            gate: Gate::new(limits.requests, timeout, labels),
            look_ups: Arc::new(Semaphore::new(group_stats::LOOK_UPS)),
            personal: Arc::new(Semaphore::new(personal::AT_ONCE)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Requests answered since the start, and how many of them with an error.
    pub(crate) fn requests(&self) -> (u64, u64) {
        self.inner.gate.requests()
    }

    /// Every path of the API. To be served with the peer's address as connection info.
    ///
    /// # Errors
    /// Where `/openapi.json` cannot be written.
    pub(crate) fn router(self) -> anyhow::Result<Router> {
        let (routes, openapi) = routes().split_for_parts();
        let document = openapi::Document::new(&openapi)?;
        Ok(routes
            .method_not_allowed_fallback(Problem::wrong_method)
            .fallback(Problem::unknown_path)
            .layer(Extension(document))
            .layer(Extension(self.inner.keys.clone()))
            .layer(DefaultBodyLimit::max(self.inner.body_bytes))
            .layer(CatchPanicLayer::custom(gate::panicked))
            .layer(middleware::from_fn_with_state(self.inner.gate.clone(), gate::pass))
            .with_state(self))
    }
}

/// Every route, and what `/openapi.json` says of it.
fn routes() -> OpenApiRouter<Api> {
    let read = OpenApiRouter::default()
        .routes(routes!(cluster::cluster))
        .routes(routes!(cluster::node))
        .routes(routes!(cluster::history))
        .routes(routes!(cluster::totals))
        .routes(routes!(groups::get))
        .routes(routes!(groups::members))
        .routes(routes!(group_stats::stats))
        .routes(routes!(messages::history))
        .routes(routes!(users::presence))
        .routes(routes!(personal::export));
    let send = OpenApiRouter::default().routes(routes!(messages::send));
    let manage = OpenApiRouter::default()
        .routes(routes!(groups::put, groups::delete))
        .routes(routes!(groups::add_members, groups::remove_members))
        .routes(routes!(users::kick))
        .routes(routes!(drain::drain))
        .routes(routes!(drain::undrain))
        .routes(routes!(drain::shed))
        .routes(routes!(personal::erase))
        .routes(routes!(users::ban, users::unban));
    OpenApiRouter::with_openapi(openapi::head())
        .merge(needing(Scope::Read, read))
        .merge(needing(Scope::Send, send))
        .merge(needing(Scope::Manage, manage))
        .routes(routes!(openapi::openapi))
}

/// These routes, for callers whose key has this scope.
fn needing(scope: Scope, mut routes: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    openapi::guard(routes.get_openapi_mut(), scope);
    routes.route_layer(middleware::from_fn_with_state(scope, keys::check))
}

/// A refusal of the road that spears take too, as HTTP says it.
fn refused(refusal: Refusal) -> Problem {
    let problem = Problem::new(refusal.code, refusal.message);
    match refusal.retry_after_ms {
        Some(retry_after_ms) => problem.retry_after_s(retry_after_ms.div_ceil(1000)),
        None => problem,
    }
}
