//! The business API (CONTRACT §6).
//!
//! | file | what |
//! |---|---|
//! | `keys.rs` | who may come in, and where |
//! | `gate.rs` | at most so many requests at once, each bounded in time, all counted |
//! | `extract.rs` | bodies, paths and queries, refused as problem+json |
//! | `cluster.rs` | `/v1/cluster`, `/v1/nodes/…`, `/v1/totals` |
//! | `groups.rs`, `group_stats.rs` | `/v1/groups/…` |
//! | `messages.rs` | `/v1/messages`, `/v1/conversations/…` |
//! | `users.rs` | `/v1/users/…` |

mod cluster;
mod extract;
mod gate;
mod group_stats;
mod groups;
mod keys;
mod messages;
mod users;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post, put},
};
use boot::{Cluster, Problem};
use conversation::{Conversations, Refusal};
use metrics::Label;
use store::Store;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

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
        };
        Self { inner: Arc::new(inner) }
    }

    /// Requests answered since the start, and how many of them with an error.
    pub(crate) fn requests(&self) -> (u64, u64) {
        self.inner.gate.requests()
    }

    /// Every path of the API. To be served with the peer's address as connection info.
    pub(crate) fn router(self) -> Router {
        let group = put(groups::put).delete(groups::delete);
        let members = put(groups::add_members).delete(groups::remove_members);
        let read = Router::new()
            .route("/v1/cluster", get(cluster::cluster))
            .route("/v1/nodes/{id}", get(cluster::node))
            .route("/v1/nodes/{id}/history", get(cluster::history))
            .route("/v1/totals", get(cluster::totals))
            .route("/v1/groups/{group}", get(groups::get))
            .route("/v1/groups/{group}/members", get(groups::members))
            .route("/v1/groups/{group}/stats", get(group_stats::stats))
            .route("/v1/conversations/{conversation}/messages", get(messages::history))
            .route("/v1/users/{user}/presence", get(users::presence));
        let send = Router::new().route("/v1/messages", post(messages::send));
        let manage = Router::new()
            .route("/v1/groups/{group}", group)
            .route("/v1/groups/{group}/members", members)
            .route("/v1/users/{user}/kick", post(users::kick))
            .route("/v1/users/{user}/ban", put(users::ban).delete(users::unban));
        Router::new()
            .merge(needing(Scope::Read, read))
            .merge(needing(Scope::Send, send))
            .merge(needing(Scope::Manage, manage))
            .method_not_allowed_fallback(Problem::wrong_method)
            .route_layer(middleware::from_fn_with_state(self.inner.keys.clone(), keys::check))
            .fallback(Problem::unknown_path)
            .layer(DefaultBodyLimit::max(self.inner.body_bytes))
            .layer(CatchPanicLayer::custom(gate::panicked))
            .layer(middleware::from_fn_with_state(self.inner.gate.clone(), gate::pass))
            .with_state(self)
    }
}

/// These routes, for callers whose key has this scope.
fn needing(scope: Scope, routes: Router<Api>) -> Router<Api> {
    routes.route_layer(middleware::from_fn_with_state(scope, keys::check_scope))
}

/// A refusal of the road that spears take too, as HTTP says it.
fn refused(refusal: Refusal) -> Problem {
    let problem = Problem::new(refusal.code, refusal.message);
    match refusal.retry_after_ms {
        Some(retry_after_ms) => problem.retry_after_s(retry_after_ms.div_ceil(1000)),
        None => problem,
    }
}
