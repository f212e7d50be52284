//! Who is in the cluster, as a watched snapshot; elections and small persistent records beside it.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | [`Roster`] and what it hands out |
//! | `snapshot.rs` | [`Snapshot`]: all live nodes at one moment |
//! | `path.rs` | which paths, names and contents a roster takes |
//! | `embedded/` | everything in one process, persistent nodes under the data directory |
//! | `zookeeper/` | one session with ZooKeeper for all nodes of a process |
//! | `conformance/` | what every implementation must do; each runs it in its tests |

mod embedded;
mod path;
mod snapshot;
mod zookeeper;

pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, NodeState};

pub use embedded::EmbeddedRoster;
pub use path::DATA_MAX_BYTES;
pub use snapshot::Snapshot;
pub use zookeeper::{ZooKeeperOptions, ZooKeeperRoster};

/// How many times a persistent node was written since it was created; the first content has version 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i64);

/// How the roster itself is doing. Nodes go on with the last good snapshot while it is not [`Health::Good`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Connected; the snapshot is current.
    Good,
    /// Not reachable since this time (milliseconds since the Unix epoch): the snapshot may be old, and
    /// ownership of anything elected is in doubt.
    Suspect {
        /// Since when.
        since_at: i64,
    },
}

/// Why a roster operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// `create` found the node there.
    #[error("the persistent node {0} exists already")]
    Exists(String),
    /// `write` found another version than the expected one, or none at all.
    #[error("the persistent node {path} has changed: expected version {expected:?}")]
    Conflict {
        /// Which.
        path: String,
        /// What the caller had read.
        expected: Version,
    },
    /// A newer start of the same node is registered: this process is to exit.
    #[error("a newer start of {id} is registered (incarnation {newer}); this one must exit")]
    Superseded {
        /// Which node.
        id: Arc<str>,
        /// The incarnation that is registered.
        newer: wire::Incarnation,
    },
    /// A path, name or content that no roster takes: trying again will not help.
    #[error("the roster does not take this: {0}")]
    Invalid(String),
    /// It could not be done now; trying again later may help. After a connection was lost it may have been done all the
    /// same: whoever created or wrote a persistent node reads it again before going on.
    #[error("the roster cannot be reached: {0}")]
    Unavailable(String),
}

/// The cluster's membership, elections and persistent nodes.
///
/// Paths of persistent nodes are relative to the configured root, start with `/`, and use `/` between parts
/// (`/idgen/watermark`); parents are made as needed, without content. Parts and ids match `[A-Za-z0-9_.:@-]+`, a path has
/// at most 512 bytes and a content [`DATA_MAX_BYTES`]; anything else is [`RosterError::Invalid`].
#[async_trait]
pub trait Roster: Send + Sync + 'static {
    /// Registers a node under its role and id, replacing an earlier start of the same node.
    ///
    /// The implementation registers again by itself, with the same incarnation, after it lost its session. The node
    /// leaves the roster when the handle is closed or dropped.
    ///
    /// # Errors
    /// [`RosterError::Superseded`] where a newer incarnation is there; [`RosterError::Unavailable`];
    /// [`RosterError::Invalid`].
    async fn register(&self, record: NodeRecord) -> Result<Box<dyn Registration>, RosterError>;

    /// The live nodes, now and whenever they change. The receiver always holds the last good snapshot.
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>>;

    /// Whether what [`Roster::watch`] shows is current.
    fn health(&self) -> watch::Receiver<Health>;

    /// Takes part in the election called `name` and waits, without bound, until it is won.
    ///
    /// `name` is a path below the root without the slash in front (`idgen/leader`), `candidate` the id of the node that
    /// takes part. Candidates win in the order in which they came, as far as the roster knows it. One whose session is
    /// lost while it waits goes to the end of the queue by itself. Drop the future to give up. At most one [`Leadership`] of a name is not lost at any time, as far as the
    /// roster knows: who must be sure keeps a lease of its own (see idgen).
    ///
    /// # Errors
    /// [`RosterError::Unavailable`]; [`RosterError::Invalid`].
    async fn elect(&self, name: &str, candidate: &str) -> Result<Box<dyn Leadership>, RosterError>;

    /// Reads a persistent node; `None` where there is none.
    ///
    /// # Errors
    /// [`RosterError::Unavailable`]; [`RosterError::Invalid`].
    async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, RosterError>;

    /// Creates a persistent node, durably.
    ///
    /// # Errors
    /// [`RosterError::Exists`]; [`RosterError::Unavailable`]; [`RosterError::Invalid`].
    async fn create(&self, path: &str, data: &[u8]) -> Result<Version, RosterError>;

    /// Replaces the content of a persistent node, durably, if its version is still `expected`.
    ///
    /// # Errors
    /// [`RosterError::Conflict`]; [`RosterError::Unavailable`]; [`RosterError::Invalid`].
    async fn write(&self, path: &str, data: &[u8], expected: Version) -> Result<Version, RosterError>;

    /// How long a node that stopped answering stays in the roster, in milliseconds: the session time-out.
    fn session_timeout_ms(&self) -> u64;
}

/// A node's place in the roster; dropping it leaves.
#[async_trait]
pub trait Registration: Send + Sync {
    /// Changes the registered state.
    ///
    /// # Errors
    /// [`RosterError::Superseded`]; [`RosterError::Unavailable`].
    async fn set_state(&self, state: NodeState) -> Result<(), RosterError>;

    /// Cancelled when a newer start of the same node has taken the place: the process is to exit.
    fn superseded(&self) -> CancellationToken;

    /// Leaves now, and returns once the others can see it or it cannot be done.
    async fn leave(self: Box<Self>);
}

/// An election won; dropping it resigns.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// Cancelled as soon as leadership is lost or in doubt. It never comes back: take part again.
    fn lost(&self) -> CancellationToken;

    /// Resigns now, so that the next one need not wait for a time-out.
    async fn resign(self: Box<Self>);
}
