//! One session with ZooKeeper for all nodes of a process.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`ZooKeeperRoster`] |
//! | `options.rs` | how to reach ZooKeeper |
//! | `layout.rs` | where what lies |
//! | `core.rs` | what all parts share: the connection as it is now |
//! | `session.rs` | connected, disconnected, expired, and the next session |
//! | `standing.rs` | when the roster is good |
//! | `nodes.rs` | the snapshot |
//! | `place.rs` | how a node's place is taken, kept and left; why a newer start always wins |
//! | `member.rs` | one registration, which keeps its place |
//! | `members.rs` | all registrations of this process |
//! | `latch.rs` `elections.rs` | a candidate's node, and the queue |
//! | `records.rs` | persistent nodes |
//! | `pause.rs` | the pause between two attempts |
//!
//! A lost connection is not a lost session: the snapshot and the registrations stay, only leaderships are lost at once,
//! being in doubt. After an expiry a new client begins a new session; the client library ends its session itself when it
//! had no contact for 1.4 times the session time-out.

mod core;
mod elections;
mod latch;
mod layout;
mod member;
mod members;
mod nodes;
mod options;
mod pause;
mod place;
mod records;
mod session;
mod standing;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::NodeRecord;

use self::core::Core;
use crate::{Health, Leadership, Registration, Roster, RosterError, Snapshot, Version};

pub use options::ZooKeeperOptions;

/// A roster on ZooKeeper, version 3.6 or newer. Clones share one session.
///
/// It may be opened before ZooKeeper runs and outlives each of its stops: until the first session, and whenever there is
/// no connection, it is [`Health::Suspect`]; its snapshot is empty until the first listing. Operations then wait for up to `operation_timeout` and fail with
/// [`RosterError::Unavailable`]; so does [`Roster::register`], which may be called again. [`Roster::elect`] waits on.
///
/// The session ends, and with it registrations and leaderships, when the last clone and the last handle are dropped.
#[derive(Debug, Clone)]
pub struct ZooKeeperRoster {
    core: Arc<Core>,
    members: Arc<members::Members>,
    held: Arc<DropGuard>,
}

impl ZooKeeperRoster {
    /// Begins to connect in the background, and does not wait. To be called on a tokio runtime with timers.
    ///
    /// # Errors
    /// [`RosterError::Invalid`] names the option that cannot be right.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(options: ZooKeeperOptions) -> Result<Self, RosterError> {
        options.check()?;
        let ended = CancellationToken::new();
        let core = Arc::new(Core::new(&options, ended.clone()));
        core.runtime.spawn(session::run(core.clone(), options));
        Ok(Self { core, members: Arc::default(), held: Arc::new(ended.drop_guard()) })
    }
}

#[async_trait]
impl Roster for ZooKeeperRoster {
    async fn register(&self, record: NodeRecord) -> Result<Box<dyn Registration>, RosterError> {
        Ok(Box::new(members::register(&self.core, &self.members, self.held.clone(), record).await?))
    }

    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.core.snapshot.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.core.standing.health()
    }

    async fn elect(&self, name: &str, candidate: &str) -> Result<Box<dyn Leadership>, RosterError> {
        Ok(Box::new(elections::elect(&self.core, self.held.clone(), name, candidate).await?))
    }

    async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, RosterError> {
        records::read(&self.core, path).await
    }

    async fn create(&self, path: &str, data: &[u8]) -> Result<Version, RosterError> {
        records::create(&self.core, path, data).await
    }

    async fn write(&self, path: &str, data: &[u8], expected: Version) -> Result<Version, RosterError> {
        records::write(&self.core, path, data, expected).await
    }

    fn session_timeout_ms(&self) -> u64 {
        self.core.session_timeout_ms()
    }
}
