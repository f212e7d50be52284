//! Message ids from an active idgen, with smart batching.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Ids`], [`IdClient`] and its bounds |
//! | `batcher.rs` | one request in flight; the next one carries what gathered meanwhile |
//! | `source.rs` | whichever idgen node is active |
//! | `fallback.rs` | ids of this node's own while ZooKeeper is lost |
//! | `standing.rs` | [`Standing`]: how ids are had at the moment |
//! | `stream.rs` | a kept `Cut` stream to one node |
//! | `tests.rs` | against real servers |

mod batcher;
mod fallback;
mod source;
mod standing;
mod stream;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::Label;
use parking_lot::Mutex;
use roster::Roster;
use snowflake::WorkerLease;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::Instrument;
use wire::MessageId;

use crate::secret::Secret;
use batcher::{Ask, Batcher};
use fallback::Fallback;
use source::Source;
use standing::Board;

pub use snowflake::Holder;
pub use standing::{Standing, show_standing};

/// The most ids that one call, and one request to idgen, may ask for.
pub const IDS_PER_REQUEST_MAX: usize = 65_536;

/// Why no ids could be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdsError {
    /// Too many callers wait already: refuse the work, do not wait.
    #[error("too many callers wait for message ids already")]
    Busy,
    /// No active idgen answered within the deadline.
    #[error("no message ids within {waited_ms} ms: {reason}")]
    Unavailable {
        /// How long it was tried.
        waited_ms: u64,
        /// What the last attempt said.
        reason: Arc<str>,
    },
    /// More than [`IDS_PER_REQUEST_MAX`] were asked for in one call.
    #[error("{0} message ids at once: at most 65536 can be had")]
    TooMany(usize),
    /// The client was shut down.
    #[error("this node stops: no more message ids are handed out")]
    Stopped,
}

/// A source of message ids.
#[async_trait]
pub trait Ids: Send + Sync {
    /// Takes `count` ids, ascending. Of two calls to the same source, the one that was polled first gets the lower ids,
    /// save where idgen serves again after ids were cut without it ([`IdOptions::holder`]), and where several idgens are active and
    /// another one is asked because one has failed.
    ///
    /// # Errors
    /// [`IdsError`]; the ids of a failed call are never used.
    async fn take(&self, count: usize) -> Result<Vec<MessageId>, IdsError>;
}

/// The bounds of an [`IdClient`].
#[derive(Debug, Clone)]
pub struct IdOptions {
    /// How many calls may wait at once; one above it is refused with [`IdsError::Busy`].
    pub queue: usize,
    /// How long a call waits for its ids, failover included.
    pub deadline: Duration,
    /// How long one node may take to answer before the next one is tried. Less than `deadline`.
    pub attempt_timeout: Duration,
    /// Who holds a worker number of its own, to cut ids while the roster cannot be reached and no idgen answers: unique, but
    /// in no order with those of other nodes. `None`: calls fail meanwhile.
    pub holder: Option<Holder>,
    /// The labels of this client's metrics: those of its node.
    pub labels: Vec<Label>,
}

impl Default for IdOptions {
    fn default() -> Self {
        Self {
            queue: 16_384,
            deadline: Duration::from_secs(5),
            attempt_timeout: Duration::from_millis(500),
            holder: None,
            labels: Vec::new(),
        }
    }
}

/// Ids from an active idgen, whichever node that is. Cheap to clone; clones share the stream.
#[derive(Debug, Clone)]
pub struct IdClient {
    asks: mpsc::Sender<Ask>,
    deadline: Duration,
    /// What the last failed attempt said, for those whose deadline passes.
    trouble: Arc<Mutex<Arc<str>>>,
    board: Board,
    lease: Option<WorkerLease>,
    tasks: Arc<Tasks>,
}

/// They end when the last clone is dropped.
#[derive(Debug)]
struct Tasks {
    all: TaskTracker,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl IdClient {
    /// Starts the task that asks, and where there is a holder the one that keeps its worker number; they end with `stop`, or
    /// when the last clone is dropped.
    pub fn spawn(
        roster: Arc<dyn Roster>,
        secret: Secret,
        stop: CancellationToken,
        options: IdOptions,
    ) -> Self {
        let (sender, asks) = mpsc::channel(options.queue.max(1));
        let trouble = Arc::new(Mutex::new("no idgen node has answered yet".into()));
        let stop = stop.child_token();
        let all = TaskTracker::new();
        let board = Board::new();
        let fallback = Fallback::start(&roster, &options, &stop, &all, board.clone());
        let lease = fallback.lease().cloned();
        let source = Source::new(&*roster, &secret, &options);
        let batcher = Batcher::new(asks, source, fallback, &options, trouble.clone(), board.clone());
        all.spawn(batcher.run(stop.clone()).in_current_span());
        all.close();
        let tasks = Arc::new(Tasks { all, _stop: stop.clone().drop_guard(), stop });
        Self { asks: sender, deadline: options.deadline, trouble, board, lease, tasks }
    }

    /// The worker number that is held for the time when the roster is lost; `None` without a holder, and until one is taken.
    pub fn worker(&self) -> Option<u16> {
        self.lease.as_ref().and_then(WorkerLease::number)
    }

    /// How ids are had, as of the last ones that were asked for.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.board.subscribe()
    }

    /// Hands out nothing any more, and gives the worker number back: a node that stops waits for it, a second at most.
    pub async fn close(&self) {
        self.tasks.stop.cancel();
        self.tasks.all.wait().await;
    }
}

#[async_trait]
impl Ids for IdClient {
    async fn take(&self, count: usize) -> Result<Vec<MessageId>, IdsError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if count > IDS_PER_REQUEST_MAX {
            return Err(IdsError::TooMany(count));
        }
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(Ask { count, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => IdsError::Busy,
            mpsc::error::TrySendError::Closed(_) => IdsError::Stopped,
        })?;
        match time::timeout(self.deadline, answered).await {
            Ok(Ok(ids)) => Ok(ids),
            Ok(Err(_)) => Err(IdsError::Stopped),
            Err(_) => Err(IdsError::Unavailable {
                waited_ms: u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX),
                reason: self.trouble.lock().clone(),
            }),
        }
    }
}
