//! Ids while ZooKeeper is lost: cut here, under a worker number of this node's own.

use std::{panic, sync::Arc, time::Duration};

use metrics::{Counter, Gauge};
use roster::{Health, Roster};
use snowflake::{Ahead, SystemClock, WorkerLease};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::Instrument;
use wire::{MessageId, proto::idgen::Run};

use super::{IdOptions, source::Source, standing::Board};

/// May cut ids when the roster is suspect *and* no idgen answers; else never, so that an idgen that fails over is waited for
/// and ids stay in the order of the calls.
pub(super) struct Fallback {
    /// `None` where ids are refused instead.
    lease: Option<WorkerLease>,
    health: watch::Receiver<Health>,
    patience: Duration,
    cut_total: Counter,
    in_use: Gauge,
    board: Board,
}

/// A node that serves ids is sought meanwhile.
pub(super) type Search = AbortOnDropHandle<Source>;

impl Fallback {
    /// Takes a worker number in the background, where the options name a holder; it is given back after `stop`.
    pub(super) fn start(
        roster: &Arc<dyn Roster>,
        options: &IdOptions,
        stop: &CancellationToken,
        tasks: &TaskTracker,
        board: Board,
    ) -> Self {
        let lease = options.holder.clone().map(|holder| {
            let (lease, keeper) =
                WorkerLease::new(roster.clone(), holder, Arc::new(SystemClock), Ahead::OUTAGE);
            tasks.spawn(keeper.run(stop.clone()).in_current_span());
            lease
        });
        let labels = || options.labels.clone();
        Self {
            lease,
            health: roster.health(),
            patience: options.attempt_timeout,
            cut_total: metrics::counter!("phalanx_rpc_ids_unordered_total", labels()),
            in_use: metrics::gauge!("phalanx_rpc_ids_unordered", labels()),
            board,
        }
    }

    pub(super) fn lease(&self) -> Option<&WorkerLease> {
        self.lease.as_ref()
    }

    /// Comes as soon as the roster is suspect; never, where ids are refused then.
    pub(super) async fn allowed(&self) {
        let mut health = self.health.clone();
        if self.lease.is_none() || health.wait_for(is_suspect).await.is_err() {
            std::future::pending().await
        }
    }

    /// Comes when idgen has been waited for long enough: callers are not to wait while there is another way.
    pub(super) async fn out_of_patience(&self) {
        self.allowed().await;
        time::sleep(self.patience).await;
    }

    /// Ids of this node's own, above `after` if possible. `None` where idgen is to be waited for.
    pub(super) fn cut(&self, count: usize, after: MessageId) -> Option<Result<Vec<Run>, String>> {
        let lease = self.lease.as_ref().filter(|_| is_suspect(&self.health.borrow()))?;
        let cut = u32::try_from(count)
            .map_err(|error| error.to_string())
            .and_then(|count| lease.cut(count, after).map_err(|error| error.to_string()));
        if cut.is_ok() {
            self.cut_total.increment(count as u64);
        }
        Some(cut)
    }

    /// Seeks an idgen that serves, beside the callers: one that hangs is not to hold up each of them.
    pub(super) fn seek(&self, mut source: Source) -> Search {
        let (in_use, board) = (self.in_use.clone(), self.board.clone());
        let search = async move {
            let begun = Instant::now();
            in_use.set(1.0);
            tracing::warn!(
                "no idgen serves: ids are unique but not ordered across nodes while ZooKeeper is lost"
            );
            source.seek().await;
            in_use.set(0.0);
            board.idgen();
            tracing::warn!(lasted = ?begun.elapsed(), "an idgen serves again: ids are ordered across nodes from now on");
            source
        };
        AbortOnDropHandle::new(tokio::spawn(search.in_current_span()))
    }
}

/// What a search found.
pub(super) async fn found(search: &mut Search) -> Source {
    match search.await {
        Ok(source) => source,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            // The runtime ends, and everything with it.
            Err(_) => std::future::pending().await,
        },
    }
}

fn is_suspect(health: &Health) -> bool {
    matches!(health, Health::Suspect { .. })
}
