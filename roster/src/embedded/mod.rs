//! Everything in one process: members and elections in memory, persistent nodes in SQLite.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`EmbeddedRoster`], and what tests may do to it |
//! | `members.rs` | who is registered |
//! | `elections.rs` | fair queues of candidates |
//! | `records.rs` | persistent nodes in `roster.db` |

mod elections;
mod members;
mod records;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use tokio::sync::watch;
use wire::{NodeRecord, time::now_ms};

use crate::{Health, Leadership, Registration, Roster, RosterError, Snapshot, Version};
use elections::Elections;
use members::Members;
use records::Records;

/// What idgen's lease is derived from, in milliseconds.
///
/// No node of this process can stop answering alone, so it need not cover a network; it is short because the successor
/// of a killed idgen waits the lease out, and the default cluster is to start quickly.
const SESSION_TIMEOUT_MS: u64 = 2_000;

/// A roster for the nodes of one process. Clones share everything.
///
/// Members and elections end with the process, persistent nodes stay under the directory. It is always
/// [`Health::Good`], except where a test says otherwise with [`EmbeddedRoster::suspect`].
#[derive(Debug, Clone)]
pub struct EmbeddedRoster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    members: Arc<Members>,
    elections: Arc<Elections>,
    records: Records,
    health: watch::Sender<Health>,
    session_timeout_ms: u64,
}

impl EmbeddedRoster {
    /// Opens the persistent nodes under `directory`, which is made if it is missing.
    ///
    /// # Errors
    /// [`RosterError::Unavailable`] where another process has it open, a newer build wrote it, or the disk fails.
    pub async fn open(directory: &Path) -> Result<Self, RosterError> {
        Self::open_with(directory, SESSION_TIMEOUT_MS).await
    }

    /// As [`EmbeddedRoster::open`], with another [`Roster::session_timeout_ms`].
    ///
    /// # Errors
    /// As [`EmbeddedRoster::open`].
    pub async fn open_with(directory: &Path, session_timeout_ms: u64) -> Result<Self, RosterError> {
        let inner = Inner {
            members: Arc::default(),
            elections: Arc::default(),
            records: Records::open(directory).await?,
            health: watch::Sender::new(Health::Good),
            session_timeout_ms,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A test aid: ends the session of the node called `id`, as a time-out would, and lets it begin another.
    ///
    /// Its leaderships are lost and pass on, where it waits in an election it goes to the end of the queue, and its
    /// registrations disappear and come back with the same incarnation. An election knows the node by its `candidate`.
    pub fn expire(&self, id: &str) {
        self.inner.elections.expire(id, true);
        self.inner.members.expire(id);
    }

    /// A test aid: as [`EmbeddedRoster::expire`], but the node does not learn that its leaderships are lost, as a
    /// frozen process would not.
    pub fn expire_unnoticed(&self, id: &str) {
        self.inner.elections.expire(id, false);
        self.inner.members.expire(id);
    }

    /// A test aid: the roster cannot be reached, until [`EmbeddedRoster::recover`].
    ///
    /// Every leadership is lost, nobody wins an election, operations fail with [`RosterError::Unavailable`], and the
    /// snapshot stays as it is.
    pub fn suspect(&self) {
        let already = |health: &Health| matches!(health, Health::Suspect { .. });
        self.inner.health.send_if_modified(|health| {
            if already(health) {
                return false;
            }
            *health = Health::Suspect { since_at: now_ms() };
            true
        });
        self.inner.members.freeze();
        self.inner.elections.freeze();
    }

    /// A test aid: the roster can be reached again.
    pub fn recover(&self) {
        self.inner.health.send_replace(Health::Good);
        self.inner.members.thaw();
        self.inner.elections.thaw();
    }

    fn reachable(&self) -> Result<(), RosterError> {
        match *self.inner.health.borrow() {
            Health::Good => Ok(()),
            Health::Suspect { .. } => Err(RosterError::Unavailable("a test made it suspect".into())),
        }
    }
}

#[async_trait]
impl Roster for EmbeddedRoster {
    async fn register(&self, record: NodeRecord) -> Result<Box<dyn Registration>, RosterError> {
        self.reachable()?;
        Ok(Box::new(members::register(&self.inner.members, record)?))
    }

    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.members.watch()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.subscribe()
    }

    async fn elect(&self, name: &str, candidate: &str) -> Result<Box<dyn Leadership>, RosterError> {
        Ok(Box::new(elections::elect(&self.inner.elections, name, candidate).await?))
    }

    async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, RosterError> {
        self.reachable()?;
        self.inner.records.read(path).await
    }

    async fn create(&self, path: &str, data: &[u8]) -> Result<Version, RosterError> {
        self.reachable()?;
        self.inner.records.create(path, data).await
    }

    async fn write(&self, path: &str, data: &[u8], expected: Version) -> Result<Version, RosterError> {
        self.reachable()?;
        self.inner.records.write(path, data, expected).await
    }

    fn session_timeout_ms(&self) -> u64 {
        self.inner.session_timeout_ms
    }
}
