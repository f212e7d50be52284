//! Snowflake ids: one active node and backups waiting, or several active ones.
//!
//! | file | what |
//! |---|---|
//! | `reservation.rs` | how far ahead of the clock ids may go |
//! | `lease.rs` | until when this node may believe to be the active one |
//! | `watermark.rs` | the persistent record that fences one active node from the next |
//! | `dispenser.rs` | generator, reservation and lease together: what a request asks |
//! | `candidate.rs` | the life in the election: backup, active, backup again |
//! | `term.rs` | one time of being active: claim, wait, renew, release |
//! | `multi.rs` | one of several active nodes |
//! | `cutter.rs` | either of them, as requests see it |
//! | `service.rs` | gRPC |
//! | `counters.rs` | metrics, and what stat is told |
//! | `settings.rs` | the table `[idgen]` |
//! | `faults.rs` | a wall clock that a test sets |
//!
//! The layout of ids, their generator and the clocks are the crate `snowflake`: other nodes cut ids while ZooKeeper is lost.
//!
//! Where one is active, two nets hold independently. The *watermark* keeps ids unique: a node serves only ids below the time it has written
//! there, and its successor starts at that time. The *lease* keeps calls in order: a node that has not written for its
//! length refuses, and a successor serves only when that length has passed since it first saw the last write.
//!
//! Where several are active, each has a worker number of its own, held by the crate `snowflake` in a record with a watermark of
//! its own: unique ids again, in no order between nodes.

mod candidate;
mod counters;
mod cutter;
mod dispenser;
mod faults;
mod lease;
mod multi;
mod reservation;
mod service;
mod settings;
mod term;
mod watermark;

use std::sync::Arc;

use anyhow::Context as _;
use boot::{Cluster, Condition, Membership, NodeContext, OnZooKeeperLoss, Shutdown};
use snowflake::{Clock, Holder, Keeper, WorkerLease, layout};
use tokio_util::sync::CancellationToken;
use wire::NodeState;

use candidate::Candidate;
use counters::Counters;
use cutter::Cutter;
use dispenser::{CloseOnDrop, Dispenser};
use multi::Multi;
use watermark::Watermark;

pub use settings::{FaultSettings, Mode, Settings};

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
    // Cancelled on every way out, so that nothing of this node goes on when its future is dropped.
    let stop = CancellationToken::new();
    let _stop_on_return = stop.clone().drop_guard();
    let clock = faults::clock(&settings.faults, &node.readiness, &stop);
    layout::check_clock(clock.wall_ms())?;
    let duty = node.readiness.condition("idgen", "starting");
    let counters = Counters::new(node.labels());
    let part = Part::new(&settings, &node, &cluster, clock, duty, counters.clone())?;
    let listener = node.listen().await?;
    let secret = rpc::Secret::new(cluster.secret.expose());

    let record = node.record(NodeState::Up);
    let Some(member) = Membership::join(&node, &cluster.roster, record, &shutdown.token()).await? else {
        return Ok(());
    };
    let reports = rpc::ReportClient::new(cluster.roster.clone(), secret.clone(), node.role, node.node_ref());

    let leave = shutdown.token();
    let serving = service::serve(listener, part.cutter(), &secret, stop.clone());
    let playing = async {
        part.play(leave.clone()).await;
        // It serves nothing any more: only now may the streams end, and the others see that this node has left.
        member.announce_drain().await;
        stop.cancel();
    };
    let reporting = reports.run(stop.clone(), || counters.report());
    let life = async {
        let ((), served, ()) = tokio::join!(playing, ended(serving, &leave), reporting);
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

/// What the node does to have ids.
enum Part {
    Strict(Candidate, CloseOnDrop),
    Multi(Arc<Multi>, Keeper, Condition),
}

impl Part {
    fn new(
        settings: &Settings,
        node: &NodeContext,
        cluster: &Cluster,
        clock: Arc<dyn Clock>,
        duty: Condition,
        counters: Counters,
    ) -> anyhow::Result<Self> {
        let roster = cluster.roster.clone();
        match settings.mode {
            Mode::Strict => {
                let bounds = settings.bounds(roster.session_timeout_ms())?;
                let dispenser = Arc::new(Dispenser::new(clock.clone(), counters.clone()));
                let watermark = Watermark::new(roster.clone(), node.node_ref(), bounds, clock.clone());
                let closed_on_return = dispenser.clone().close_on_drop();
                let id = node.id.clone();
                let candidate = Candidate { id, roster, watermark, dispenser, clock, counters, duty };
                Ok(Self::Strict(candidate, closed_on_return))
            }
            Mode::Multi => {
                let holder = Holder { role: node.role, node: node.node_ref() };
                let health = roster.health();
                let (lease, keeper) = WorkerLease::new(roster, holder, clock.clone(), settings.ahead()?);
                let stops_on_loss = cluster.on_zookeeper_loss == OnZooKeeperLoss::Stop;
                let multi = Multi { lease, health, stops_on_loss, clock, counters };
                Ok(Self::Multi(Arc::new(multi), keeper, duty))
            }
        }
    }

    fn cutter(&self) -> Cutter {
        match self {
            Self::Strict(candidate, _) => Cutter::Strict(candidate.dispenser.clone()),
            Self::Multi(multi, ..) => Cutter::Multi(multi.clone()),
        }
    }

    /// Has ids until `stop`; then it has given back what it held.
    async fn play(self, stop: CancellationToken) {
        match self {
            Self::Strict(candidate, _closed_on_return) => candidate.run(stop).await,
            Self::Multi(multi, keeper, duty) => multi.run(keeper, &duty, stop).await,
        }
    }
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
