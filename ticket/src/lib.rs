//! Checks who asks, and assigns each client to a spear.
//!
//! A request is answered from memory: keys are read at the start, the ring is rebuilt when the roster's snapshot changes, and
//! the spears' loads come from stat about once a second.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | [`run`]: the life of one ticket node |
//! | `settings.rs` | [`Settings`]: the `[ticket]` table |
//! | `http.rs` | what is answered: `/v1/tickets`, `/dev/token` |
//! | `dev_token.rs` | tokens for newcomers, in the embedded cluster and on loopback only |
//! | `ring.rs` | consistent hash: which spear a user belongs to |
//! | `bound.rs` | bounded loads: which spears are full |
//! | `plan.rs` | both together: what a request looks into |
//! | `spears.rs` | keeps the plan as the roster's snapshot and the loads are |
//! | `issue.rs` | tickets for one who is known |
//! | `rate.rs`, `address.rs` | how often one address or one user may ask |

mod address;
mod bound;
mod dev_token;
mod http;
mod issue;
mod plan;
mod rate;
mod ring;
mod settings;
mod spears;

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod testing;

use anyhow::Context;
use axum::Router;
use boot::{Cluster, NodeContext, Shutdown, serve_as_member, serve_http};
use rpc::LoadClient;
use token::TokenChecker;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use wire::{NodeState, TicketKey};

use crate::{http::Api, issue::Issuer, spears::Spears};

pub use settings::{Balance, Limits, Settings, SettingsError, Switch, TicketSettings};

/// Runs one ticket node until shutdown is requested and what was in flight is answered, or the drain time is over.
///
/// # Errors
/// Settings or key files that cannot be used, a port that is taken, a roster that refuses the node, or a newer start of
/// the same node.
pub async fn run(
    settings: Settings,
    node: NodeContext,
    cluster: Cluster,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let routes = router(&settings, &node, &cluster, shutdown.token())?;
    let listener = node.listen().await?;
    tracing::info!(url = %node.public_url(), "ticket is up");
    let serving =
        async { serve_http(listener, routes, shutdown.clone()).await.context("the HTTP server ended") };
    serve_as_member(&node, &cluster.roster, node.record(NodeState::Up), &shutdown, serving).await
}

/// Everything that a ticket node answers. The server must say who the caller is (`ConnectInfo<SocketAddr>`).
///
/// Starts the tasks that keep the ring as the roster is and hear of loads; they end with `stop`.
///
/// # Errors
/// Settings or key files that cannot be used.
pub fn router(
    settings: &Settings,
    node: &NodeContext,
    cluster: &Cluster,
    stop: CancellationToken,
) -> anyhow::Result<Router> {
    let dev_key = cluster.token_key.as_ref().filter(|_| cluster.embedded);
    let tokens = TokenChecker::new(&cluster.jwt, dev_key)?;
    let condition = node.readiness.condition("spears", "waiting for the roster");
    let (heard, loads) = watch::channel(None);
    let client = LoadClient::new(&*cluster.roster, &rpc::Secret::new(cluster.secret.expose()));
    boot::spawn(client.run(stop.clone(), move |told| {
        heard.send_replace(Some((told, Instant::now())));
    }));
    let spears = Spears::new(&*cluster.roster, loads, &settings.balance, condition, node.labels());
    let key = TicketKey::new(cluster.ticket_key.kid.clone(), cluster.ticket_key.bytes());
    let issuer = Issuer::new(spears.plan(), key, &settings.tickets);
    let api = Api::new(settings, cluster, issuer, tokens, node.labels())?;
    boot::spawn(spears.follow(stop));
    Ok(api.router())
}
