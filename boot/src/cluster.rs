//! What all roles of a process share: the seams, and the secrets of the cluster.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use relay::{EmbeddedRelay, FaultyRelay, Relay};
use roster::{EmbeddedRoster, Roster, RosterError};
use store::{SqliteOptions, SqliteStore, Store, StoreError};
use wire::Incarnation;

use crate::{KeyError, OnZooKeeperLoss, Secret, Shared, SigningKey, incarnation, keys};

/// How many hints may wait for one spear in the embedded relay. At 64 KiB a message this is 256 MiB at the very most;
/// what does not fit is dropped, and found in the store.
const RELAY_QUEUE: usize = 4096;

/// The cluster that a role takes part in. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    /// Who is in it.
    pub roster: Arc<dyn Roster>,
    /// Hints from spear to spear.
    pub relay: Arc<dyn Relay>,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// What nodes show one another over gRPC.
    pub secret: Secret,
    /// Whether every role runs in this one process: development helpers are on, on loopback.
    pub embedded: bool,
    /// What becomes of message ids while ZooKeeper is lost.
    pub on_zookeeper_loss: OnZooKeeperLoss,
    /// Where this process keeps its files. Only the embedded cluster keeps any that matter.
    pub data_dir: Arc<Path>,
    /// Signs tickets (HS256); every ticket and spear of the cluster has the same one.
    pub ticket_key: SigningKey,
    /// Signs the tokens of `/dev/token` (HS256); in the embedded cluster only.
    pub token_key: Option<SigningKey>,
}

/// Why the cluster could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The data directory cannot be made or written.
    #[error("cannot use the data directory {path}: {source}")]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The store says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The roster says no.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// A key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Cluster {
    /// Opens the embedded cluster of these settings, and says which start of it this is.
    pub(crate) async fn open(shared: &Shared, now_ms: i64) -> Result<(Self, Incarnation), ClusterError> {
        let data_dir = shared.data_dir();
        let failed = |source| ClusterError::DataDir { path: data_dir.clone(), source };
        fs::create_dir_all(&data_dir).map_err(failed)?;
        // First the store: it locks the directory, and everything after it relies on being alone there.
        let store = SqliteStore::open(&data_dir, SqliteOptions::default())?;
        let incarnation = incarnation::next(&data_dir, now_ms).map_err(failed)?;
        let secret = match shared.cluster.secret.is_empty() {
            true => keys::secret_at(&data_dir.join("cluster.secret"))?,
            false => shared.cluster.secret.clone(),
        };
        let cluster = Self {
            roster: Arc::new(EmbeddedRoster::open(&data_dir).await?),
            relay: relay(shared),
            store: Arc::new(store),
            secret,
            embedded: true,
            on_zookeeper_loss: shared.cluster.on_zookeeper_loss,
            ticket_key: SigningKey::at(&data_dir.join("ticket.key"))?,
            token_key: Some(SigningKey::at(&data_dir.join("token.key"))?),
            data_dir: data_dir.into(),
        };
        Ok((cluster, incarnation))
    }

    /// Whether a node that needs message ids cuts them itself while ZooKeeper is lost. An embedded roster is never lost.
    pub fn cuts_own_ids(&self) -> bool {
        !self.embedded && self.on_zookeeper_loss == OnZooKeeperLoss::Unique
    }

    /// An embedded cluster for tests, kept in `directory`.
    ///
    /// # Errors
    /// [`ClusterError`] says what could not be opened.
    pub async fn for_test(directory: &Path) -> Result<Self, ClusterError> {
        let shared = Shared::embedded_in(directory);
        Self::open(&shared, wire::time::now_ms()).await.map(|(cluster, _)| cluster)
    }
}

/// The relay of these settings, with the faults that they ask for.
fn relay(shared: &Shared) -> Arc<dyn Relay> {
    let relay: Arc<dyn Relay> = Arc::new(EmbeddedRelay::new(RELAY_QUEUE));
    let faults = &shared.relay.faults;
    if faults.is_off() {
        return relay;
    }
    tracing::warn!(?faults, "the relay loses or disturbs hints on purpose: for tests only");
    Arc::new(FaultyRelay::new(relay, *faults))
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("embedded", &self.embedded)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
