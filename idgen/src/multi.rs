//! One of several active nodes: it cuts ids under a worker number of its own.

use std::{sync::Arc, time::Duration};

use boot::Condition;
use roster::Health;
use snowflake::{Clock, CutError, Keeper, WorkerLease};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use wire::{MessageId, proto::idgen::Run};

use crate::{counters::Counters, cutter::Refusal};

/// How often readiness and metrics follow what is held.
const LOOK: Duration = Duration::from_millis(100);

/// Serves ids under the number that its [`Keeper`] holds. What keeps them unique is the time in the number's record, which the
/// next holder begins at: a node that is frozen or cut off can repeat nothing, so it need not know.
pub(crate) struct Multi {
    pub(crate) lease: WorkerLease,
    pub(crate) health: watch::Receiver<Health>,
    /// Whether nothing is cut while the roster is lost.
    pub(crate) stops_on_loss: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
}

impl Multi {
    /// Takes a number and keeps it until `stop`; then it has been given back, and nothing is cut any more. `duty` says how it is.
    pub(crate) async fn run(&self, keeper: Keeper, duty: &Condition, stop: CancellationToken) {
        let keeping = keeper.run(stop);
        tokio::pin!(keeping);
        let mut looks = time::interval(LOOK);
        loop {
            tokio::select! {
                () = &mut keeping => break,
                _ = looks.tick() => self.show(duty),
            }
        }
        self.counters.set_active(false);
    }

    /// Cuts `count` ids.
    pub(crate) fn cut(&self, count: u32) -> Result<Vec<Run>, Refusal> {
        let cut = self.try_cut(count);
        match &cut {
            Ok(_) => self.counters.served(count),
            Err(_) => self.counters.refused(),
        }
        cut
    }

    /// Why the node serves nothing, if so.
    pub(crate) fn closed(&self) -> Option<Refusal> {
        match self.lease.reserved() {
            Err(reason) => Some(Refusal::NoNumber(reason)),
            Ok(_) => (self.stops_on_loss && self.is_lost()).then_some(Refusal::Lost),
        }
    }

    fn try_cut(&self, count: u32) -> Result<Vec<Run>, Refusal> {
        if self.stops_on_loss && self.is_lost() {
            return Err(Refusal::Lost);
        }
        // No id that was served before is to be passed: order is not promised.
        self.lease.cut(count, MessageId(0)).map_err(|error| match error {
            CutError::NoNumber(reason) => Refusal::NoNumber(reason),
            CutError::UsedUp { .. } => Refusal::Exhausted,
        })
    }

    fn show(&self, duty: &Condition) {
        let held = self.lease.reserved();
        let lost = self.is_lost();
        self.counters.set_active(held.is_ok() && !(lost && self.stops_on_loss));
        match held {
            Err(reason) => duty.waiting(format!("no worker number: {reason}")),
            Ok((number, until_at)) => {
                self.counters.set_lead(until_at.saturating_sub(self.clock.wall_ms()));
                // A node that has lost ZooKeeper is ready all the same: they all have.
                duty.ok(match (lost, self.stops_on_loss) {
                    (false, _) => format!("active, worker number {number}"),
                    (true, false) => format!(
                        "active, worker number {number}: ZooKeeper cannot be reached, ids of the time until {until_at} are left"
                    ),
                    (true, true) => Refusal::Lost.to_string(),
                });
            }
        }
    }

    fn is_lost(&self) -> bool {
        matches!(*self.health.borrow(), Health::Suspect { .. })
    }
}
