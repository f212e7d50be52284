//! The life in the election: backup, active, backup again.

use std::{sync::Arc, time::Duration};

use boot::Condition;
use roster::{Leadership, Roster, RosterError};
use snowflake::Clock;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    counters::Counters,
    dispenser::Dispenser,
    term::{End, Term},
    watermark::{Watermark, WatermarkError},
};

/// The election of the active node (CONTRACT §7).
const ELECTION: &str = "idgen/leader";

/// How often a backup looks at the watermark: so that it knows when it was last written, and that it was deleted.
const LOOK: Duration = Duration::from_millis(250);

/// Between two candidacies; up to twice as long, so that nodes do not act in step.
const PAUSE_MS: u64 = 100;

/// A node in the election.
pub(crate) struct Candidate {
    pub(crate) id: Arc<str>,
    pub(crate) roster: Arc<dyn Roster>,
    pub(crate) watermark: Watermark,
    pub(crate) dispenser: Arc<Dispenser>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    /// Holds while the node is a backup or active.
    pub(crate) duty: Condition,
}

impl Candidate {
    /// Takes part until `stop`; then the node has resigned.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.dispenser.close("it is a backup");
        while !stop.is_cancelled() {
            match stop.run_until_cancelled(self.elected()).await {
                None => break,
                Some(Ok(leadership)) => {
                    let end = self.serve(&*leadership, &stop).await;
                    leadership.resign().await;
                    self.after(&end);
                }
                Some(Err(error)) => {
                    self.duty.ok("backup: the roster cannot be reached");
                    tracing::warn!(%error, "the election cannot be joined");
                }
            }
            let pause = Duration::from_millis(rand::random_range(PAUSE_MS..=2 * PAUSE_MS));
            stop.run_until_cancelled(time::sleep(pause)).await;
        }
        self.dispenser.close("it stops");
    }

    /// Waits, without bound, as a backup.
    async fn elected(&mut self) -> Result<Box<dyn Leadership>, RosterError> {
        let roster = self.roster.clone();
        let election = roster.elect(ELECTION, &self.id);
        tokio::pin!(election);
        let mut looks = time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                won = &mut election => return won,
                _ = looks.tick() => {}
            }
            match self.watermark.look().await {
                Ok(_) => self.duty.ok("backup"),
                Err(WatermarkError::Roster(error)) => {
                    tracing::debug!(%error, "the watermark cannot be seen");
                    self.duty.ok("backup: the roster cannot be reached");
                }
                Err(error) => self.refuse(&error),
            }
        }
    }

    async fn serve(&mut self, leadership: &dyn Leadership, stop: &CancellationToken) -> End {
        let term = Term {
            watermark: &mut self.watermark,
            dispenser: &self.dispenser,
            clock: &self.clock,
            counters: &self.counters,
            duty: &self.duty,
            stop,
        };
        term.run(leadership).await
    }

    fn after(&self, end: &End) {
        match end {
            End::Stopped => {}
            End::Watermark(
                error @ (WatermarkError::Deleted { .. }
                | WatermarkError::Unreadable(_)
                | WatermarkError::Spent { .. }),
            ) => self.refuse(error),
            End::Lost | End::Watermark(_) => {
                tracing::warn!(why = %end, "this is a backup again");
                self.dispenser.close(format!("it is a backup: {end}"));
                self.duty.ok("backup");
            }
        }
    }

    /// Somebody must look: readiness and every refused request say why.
    fn refuse(&self, error: &WatermarkError) {
        let reason = error.to_string();
        if self.dispenser.closed().as_deref() != Some(&reason) {
            tracing::error!("no ids are served: {reason}");
            self.dispenser.close(reason.clone());
        }
        self.duty.waiting(reason);
    }
}
