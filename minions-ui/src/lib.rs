//! The web monitor and simulated client.
//!
//! The page stands in the binary. What it shows of the cluster comes through a narrow, read-only proxy to stat, so that
//! the API key never reaches a browser; its simulated clients go to ticket and spear by themselves, as any client does.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | [`run`]: the life of one minions-ui node |
//! | `settings.rs` | [`Settings`]: the `[minions-ui]` table |
//! | `api.rs` | `/api/…`: what the page asks for |
//! | `stat.rs` | questions to stat, with failover |
//! | `page.rs` | the page and its files |
//! | `security.rs` | headers that tell browsers what the page may do |
//! | `../web/` | the page itself (TypeScript, Svelte); `../build.rs` builds it |

mod api;
mod page;
mod security;
mod settings;
mod stat;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::Context;
use axum::{Router, middleware, routing::get};
use boot::{Cluster, NodeContext, Shutdown, serve_as_member, serve_http};
use roster::Snapshot;
use tokio::sync::watch;
use wire::NodeState;

use crate::{api::Api, stat::Stat};

pub use settings::{Settings, SettingsError};

/// Runs one minions-ui node until shutdown is requested and what was in flight is answered, or the drain time is over.
///
/// # Errors
/// Settings that cannot be used, a port that is taken, a roster that refuses the node, or a newer start of the same node.
pub async fn run(
    settings: Settings,
    node: NodeContext,
    cluster: Cluster,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let routes = router(&settings, &node, cluster.embedded, cluster.roster.watch())?;
    let listener = node.listen().await?;
    tracing::info!(url = %node.public_url(), "minions-ui is up");
    let serving =
        async { serve_http(listener, routes, shutdown.clone()).await.context("the HTTP server ended") };
    serve_as_member(&node, &cluster.roster, node.record(NodeState::Up), &shutdown, serving).await
}

/// Everything that a minions-ui node answers.
fn router(
    settings: &Settings,
    node: &NodeContext,
    embedded: bool,
    snapshot: watch::Receiver<Arc<Snapshot>>,
) -> anyhow::Result<Router> {
    let stat = Stat::new(settings, embedded, snapshot.clone(), node.labels())?;
    let api = Api::new(settings, node, snapshot, stat);
    Ok(Router::new()
        .route("/api/config", get(api::config))
        .route("/api/cluster", get(api::cluster))
        .route("/api/totals", get(api::totals))
        .route("/api/nodes/{id}", get(api::node))
        .method_not_allowed_fallback(boot::Problem::wrong_method)
        .with_state(api)
        .fallback(page::serve)
        .layer(middleware::map_response(security::mark)))
}
