//! Snowflake ids: one active node, backups waiting.
//!
//! | file | what |
//! |---|---|
//! | `reservation.rs` | how far ahead of the clock ids may go |
//! | `lease.rs` | until when this node may believe to be the active one |
//! | `watermark.rs` | the persistent record that fences one active node from the next |
//! | `dispenser.rs` | generator, reservation and lease together: what a request asks |
//! | `candidate.rs` | the life in the election: backup, active, backup again |
//! | `term.rs` | one time of being active: claim, wait, renew, release |
//! | `service.rs` | gRPC |
//! | `counters.rs` | metrics, and what stat is told |
//! | `settings.rs` | the table `[idgen]` |
//!
//! The layout of ids, their generator and the clocks are the crate `snowflake`: other nodes cut ids while ZooKeeper is lost.
//!
//! Two nets hold independently. The *watermark* keeps ids unique: a node serves only ids below the time it has written
//! there, and its successor starts at that time. The *lease* keeps calls in order: a node that has not written for its
//! length refuses, and a successor serves only when that length has passed since it first saw the last write.

mod candidate;
mod counters;
mod dispenser;
mod lease;
mod reservation;
mod service;
mod settings;
mod term;
mod watermark;

use std::sync::Arc;

use anyhow::Context as _;
use boot::{Cluster, Membership, NodeContext, Shutdown};
use snowflake::{Clock, SystemClock, layout};
use tokio_util::sync::CancellationToken;
use wire::NodeState;

use candidate::Candidate;
use counters::Counters;
use dispenser::Dispenser;
use watermark::Watermark;

pub use settings::Settings;

/// Runs one idgen node until it has drained.
///
/// # Errors
/// The settings contradict the roster's, the clock is outside what ids can hold, the port is taken, or a newer start
/// of the same node is registered.
pub async fn run(
    settings: Settings,
    node: NodeContext,
    cluster: Cluster,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bounds = settings.bounds(cluster.roster.session_timeout_ms())?;
    layout::check_clock(clock.wall_ms())?;
    let duty = node.readiness.condition("idgen", "starting");
    let listener = node.listen().await?;

    // Cancelled on every way out, so that nothing of this node goes on when its future is dropped.
    let stop = CancellationToken::new();
    let _stop_on_return = stop.clone().drop_guard();
    let counters = Counters::new(node.labels());
    let dispenser = Arc::new(Dispenser::new(clock.clone(), counters.clone()));
    let _closed_on_return = dispenser.clone().close_on_drop();
    let secret = rpc::Secret::new(cluster.secret.expose());

    let record = node.record(NodeState::Up);
    let Some(member) = Membership::join(&node, &cluster.roster, record, &shutdown.token()).await? else {
        return Ok(());
    };
    let reports = rpc::ReportClient::new(cluster.roster.clone(), secret.clone(), node.role, node.node_ref());
    let watermark = Watermark::new(cluster.roster.clone(), node.node_ref(), bounds, clock.clone());
    let candidate = Candidate {
        id: node.id.clone(),
        roster: cluster.roster.clone(),
        watermark,
        dispenser: dispenser.clone(),
        clock,
        counters: counters.clone(),
        duty,
    };

    let leave = shutdown.token();
    let candidacy = async {
        candidate.run(leave.clone()).await;
        // Resigned: only now may the streams end, and the others see that this node has left.
        member.announce_drain().await;
        stop.cancel();
    };
    let serving = service::serve(listener, dispenser.clone(), &secret, stop.clone());
    let reporting = reports.run(stop.clone(), || counters.report());
    let life = async {
        let ((), served, ()) = tokio::join!(candidacy, ended(serving, &leave), reporting);
        served
    };
    let outcome = tokio::select! {
        served = life => served,
        superseded = member.superseded() => superseded,
        () = shutdown.expired() => Ok(()),
    };
    member.leave().await;
    outcome
}

/// A server that ends by itself ends the node.
async fn ended(
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    leave: &CancellationToken,
) -> anyhow::Result<()> {
    let served = serving.await.context("the gRPC server has ended");
    leave.cancel();
    served
}
