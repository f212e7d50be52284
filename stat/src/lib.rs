//! Gathers the state of the nodes and answers back ends over HTTP.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | [`run`]: the life of one stat node |
//! | `settings.rs` | [`Settings`]: the `[stat]` table |
//! | `api_key.rs` | [`ApiKey`]: what opens the business API, and for what |
//! | `intake.rs` | gRPC: takes the nodes' reports |
//! | `loads.rs` | tells ticket how full the spears are, over gRPC |
//! | `observed.rs` | what this node has seen of the cluster, read once a second |
//! | `nodes.rs` | the roster joined with the reports |
//! | `history.rs` | a bounded ring of samples for each node, and rates |
//! | `totals.rs` | sums over the live spears |
//! | `retention/` | trims what is old or too much, where this node is elected for it |
//! | `outbox/` | work that is shared among the stat nodes: what waits in the store's outboxes |
//! | `webhooks/` | tells a back end what happens |
//! | `export/` | sends every stored message to a topic |
//! | `own_report.rs` | this node's report about itself |
//! | `http/` | the business API |

mod api_key;
mod export;
mod history;
mod http;
mod intake;
mod loads;
mod nodes;
mod observed;
mod outbox;
mod own_report;
mod retention;
mod settings;
mod totals;
mod webhooks;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use boot::{Cluster, NodeContext, Shutdown, serve_as_member, serve_http};
use conversation::{Announcer, Conversations};
use relay::Publisher;
use rpc::{Holder, IdClient, IdOptions};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{service::interceptor::InterceptedService, transport::Server};
use wire::{NodeRecord, NodeState, proto::stat::stat_server::StatServer};

use crate::{
    history::History,
    http::Api,
    intake::Intake,
    loads::Loads,
    observed::Observed,
    own_report::Sources,
    retention::{Stored, Trimmer},
};

pub use api_key::{ApiKey, Scope};
pub use export::{ExportKind, ExportSettings, ExportSettingsError};
pub use settings::{Limits, Settings, SettingsError};
pub use webhooks::{WebhookEvent, WebhookSettings, WebhookSettingsError};

/// How long one report may take, over gRPC.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often an idle connection is asked for a sign of life, so that those of vanished nodes are closed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The largest report, in bytes: 1,000 counters with names of 64 bytes are less.
const REPORT_BYTES: usize = 128 << 10;

/// How many reports one node may have under way at once; nodes send one a second.
const REPORTS_PER_CONNECTION: usize = 8;

/// Runs one stat node until shutdown is requested and what was in flight is answered, or the drain time is over.
///
/// # Errors
/// Settings that cannot be used, a port that is taken, a roster that refuses the node, or a newer start of the same node.
pub async fn run(
    settings: Settings,
    node: NodeContext,
    cluster: Cluster,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    // Named before the first one holds, or the node would seem ready for a moment.
    let store_condition = node.readiness.condition("store", "reading the reports");
    let reports_in = node.listen().await?;
    let requests_in = node.listen_at(settings.http_port).await?;
    let record = record(&settings, &node, &requests_in)?;

    let history =
        History::new(settings.limits.history_nodes, settings.history_samples(), settings.limits.counters);
    let loads = Loads::new(shutdown.token());
    let observed = Observed::new(cluster.roster.watch(), history, loads.clone());
    let intake = Intake::new(cluster.store.clone(), loads, settings.limits.counters, node.labels());
    let ids = ids(&settings, &node, &cluster);
    cluster.show_lease(&node.readiness);
    let ids_shown = node.readiness.condition("ids", "starting");
    boot::spawn(rpc::show_standing(ids.standing(), move |standing| ids_shown.ok(standing.to_string())));
    let conversations = conversations(&settings, &node, &cluster, ids.clone())?;
    let api = Api::new(&settings, &cluster, node.labels(), conversations, observed.clone());

    let router = api.clone().router()?;

    let stop = shutdown.token();
    let _background_ends_with_this = stop.clone().drop_guard();
    boot::spawn(observed.clone().follow(cluster.store.clone(), store_condition, stop.clone()));
    let stored = Stored::default();
    let trimmer = Trimmer::new(
        node.id.clone(),
        cluster.roster.clone(),
        cluster.store.clone(),
        cluster.retention,
        stored.clone(),
        node.labels(),
    );
    boot::spawn(trimmer.run(stop.clone()));
    let told = webhooks::start(
        &settings.webhooks,
        &node,
        cluster.roster.clone(),
        cluster.store.clone(),
        stop.clone(),
    )?;
    let exported = export::start(&settings.export, &node, &cluster, stop.clone())?;
    let backlogs = [("webhooks", told), ("export", exported)];
    let backlogs = backlogs.into_iter().filter_map(|(consumer, lag)| Some((consumer, lag?))).collect();
    let sources = Sources { intake: intake.clone(), api: api.clone(), observed, stored, backlogs };
    boot::spawn(own_report::report(record.clone(), cluster.store.clone(), sources, stop));

    tracing::info!(grpc = record.port, http = record.public_url, "listening");
    let serving = async {
        let requests = serve_http(requests_in, router, shutdown.clone());
        tokio::try_join!(
            async { requests.await.context("the HTTP API ended") },
            serve_grpc(reports_in, intake, &cluster, shutdown.clone()),
        )
        .map(|_| ())
    };
    let served = serve_as_member(&node, &cluster.roster, record, &shutdown, serving).await;
    ids.close().await;
    served
}

/// What is registered: `port` is the gRPC port, `public_url` the HTTP API.
fn record(settings: &Settings, node: &NodeContext, requests_in: &TcpListener) -> anyhow::Result<NodeRecord> {
    let mut record = node.record(NodeState::Up);
    if settings.public_url.is_empty() {
        let port = requests_in.local_addr()?.port();
        let host = if node.host.contains(':') { format!("[{}]", node.host) } else { node.host.to_string() };
        record.public_url = format!("http://{host}:{port}");
    }
    Ok(record)
}

fn ids(settings: &Settings, node: &NodeContext, cluster: &Cluster) -> IdClient {
    let options = IdOptions {
        deadline: Duration::from_millis(settings.conversation.send_timeout_ms),
        holder: cluster.cuts_own_ids().then(|| Holder { role: node.role, node: node.node_ref() }),
        labels: node.labels(),
        ..IdOptions::default()
    };
    // Not the token of the shutdown: requests that are in flight then still need ids.
    IdClient::spawn(cluster.roster.clone(), secret(cluster), CancellationToken::new(), options)
}

fn conversations(
    settings: &Settings,
    node: &NodeContext,
    cluster: &Cluster,
    ids: IdClient,
) -> anyhow::Result<Conversations> {
    let publisher = Arc::new(Publisher::new(cluster.relay.clone(), node.node_ref()));
    let announcer = Announcer::remote(node.node_ref(), publisher);
    let judge = webhook::before_send(&cluster.before_send, &node.labels())?;
    let limits = settings.conversation.clone();
    Ok(Conversations::start_judged(cluster.store.clone(), Arc::new(ids), announcer, limits, judge))
}

fn secret(cluster: &Cluster) -> rpc::Secret {
    rpc::Secret::new(cluster.secret.expose())
}

async fn serve_grpc(
    listener: TcpListener,
    intake: Intake,
    cluster: &Cluster,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let service = StatServer::new(intake).max_decoding_message_size(REPORT_BYTES);
    let guarded = InterceptedService::new(service, rpc::guard(&secret(cluster)));
    let requested = shutdown.clone();
    let server = Server::builder()
        .timeout(REPORT_TIMEOUT)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .concurrency_limit_per_connection(REPORTS_PER_CONNECTION)
        .add_service(guarded)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            requested.requested().await
        });
    tokio::select! {
        served = server => Ok(served?),
        // A node that keeps its connection open does not keep this one.
        () = shutdown.expired() => Ok(()),
    }
}
