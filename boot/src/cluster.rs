//! What all roles of a process share: the seams, and the secrets of the cluster.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redis_link::LeaseStanding;
use relay::Relay;
use roster::{EmbeddedRoster, Roster, RosterError, ZooKeeperRoster};
use store::{RedisStore, SqliteOptions, SqliteStore, Store, StoreError};
use tokio::sync::watch;
use wire::Incarnation;

use crate::{
    BeforeSendSettings, Brokers, JwtSettings, KeyError, OnZooKeeperLoss, Readiness, RetentionSettings,
    Secret, Shared, SigningKey, incarnation, keys, lease, relays, servers,
};

/// The `kid` of tickets whose key is set by the operator.
const TICKET_KEY_NAME: &str = "cluster";

/// The cluster that a role takes part in. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    /// Who is in it.
    pub roster: Arc<dyn Roster>,
    /// Hints from spear to spear.
    pub relay: Arc<dyn Relay>,
    /// Where message brokers are, whatever relays.
    pub brokers: Brokers,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// What nodes show one another over gRPC.
    pub secret: Secret,
    /// Whether every role runs in this one process: development helpers are on, on loopback.
    pub embedded: bool,
    /// What becomes of message ids while ZooKeeper is lost.
    pub on_zookeeper_loss: OnZooKeeperLoss,
    /// What the store keeps, and how often it is looked at.
    pub retention: RetentionSettings,
    /// Who judges messages before they are stored.
    pub before_send: BeforeSendSettings,
    /// Where this process keeps its files. Only the embedded cluster keeps any that matter.
    pub data_dir: Arc<Path>,
    /// Signs tickets (HS256); every ticket and spear of the cluster has the same one.
    pub ticket_key: SigningKey,
    /// Whose tokens are accepted, beside those of `/dev/token`.
    pub jwt: JwtSettings,
    /// Signs the tokens of `/dev/token` (HS256); in the embedded cluster only.
    pub token_key: Option<SigningKey>,
    /// How the lease stands under which the store acknowledges, where there is one.
    lease: Option<watch::Receiver<LeaseStanding>>,
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
    /// The settings of Redis do not fit together.
    #[error("redis: {0}")]
    Redis(#[from] redis_link::LinkError),
    /// The relay of the settings was left out of this program.
    #[error("relay.kind: this program was built without --features {0}")]
    NoRelay(&'static str),
    /// A file that the settings name cannot be used.
    #[error("{key}: {problem}")]
    File {
        /// Which setting.
        key: String,
        /// Which file, and what is wrong with it.
        problem: String,
    },
    /// A key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Cluster {
    /// Opens the cluster of these settings for a process whose first node is called `named`, and says which start this is.
    ///
    /// ZooKeeper and Redis need not be there yet: whoever calls them waits for them.
    pub(crate) async fn open(
        shared: &Shared,
        named: &str,
        now_ms: i64,
    ) -> Result<(Self, Incarnation), ClusterError> {
        let data_dir = shared.data_dir();
        fs::create_dir_all(&data_dir)
            .map_err(|source| ClusterError::DataDir { path: data_dir.clone(), source })?;
        match shared.cluster.embedded {
            true => Self::embedded(shared, data_dir, now_ms).await,
            false => Self::clustered(shared, data_dir, named, now_ms),
        }
    }

    async fn embedded(
        shared: &Shared,
        data_dir: PathBuf,
        now_ms: i64,
    ) -> Result<(Self, Incarnation), ClusterError> {
        let failed = |source| ClusterError::DataDir { path: data_dir.clone(), source };
        // First the store: it locks the directory, and everything after it relies on being alone there.
        let store = SqliteStore::open(&data_dir, SqliteOptions::default())?;
        let incarnation = incarnation::next(&data_dir.join("incarnation"), now_ms).map_err(failed)?;
        let secret = match shared.cluster.secret.is_empty() {
            true => keys::secret_at(&data_dir.join("cluster.secret"))?,
            false => shared.cluster.secret.clone(),
        };
        let cluster = Self {
            roster: Arc::new(EmbeddedRoster::open(&data_dir).await?),
            relay: relays::open(shared)?,
            brokers: shared.brokers.clone(),
            store: Arc::new(store),
            secret,
            embedded: true,
            on_zookeeper_loss: shared.cluster.on_zookeeper_loss,
            retention: shared.store.retention,
            before_send: shared.webhooks.before_send.clone(),
            ticket_key: SigningKey::at(&data_dir.join("ticket.key"))?,
            jwt: shared.jwt.clone(),
            token_key: Some(SigningKey::at(&data_dir.join("token.key"))?),
            lease: None,
            data_dir: data_dir.into(),
        };
        Ok((cluster, incarnation))
    }

    /// Several processes of one host may share the directory: each keeps its incarnation under the name of its node.
    fn clustered(
        shared: &Shared,
        data_dir: PathBuf,
        named: &str,
        now_ms: i64,
    ) -> Result<(Self, Incarnation), ClusterError> {
        let failed = |source| ClusterError::DataDir { path: data_dir.clone(), source };
        let starts = data_dir.join("starts");
        fs::create_dir_all(&starts).map_err(failed)?;
        let incarnation = incarnation::next(&starts.join(named), now_ms).map_err(failed)?;
        let store = Arc::new(RedisStore::open(servers::redis_store(&shared.redis)?)?);
        let cluster = Self {
            roster: Arc::new(ZooKeeperRoster::open(servers::zookeeper(&shared.zookeeper))?),
            relay: relays::open(shared)?,
            brokers: shared.brokers.clone(),
            store: store.clone(),
            secret: shared.cluster.secret.clone(),
            embedded: false,
            on_zookeeper_loss: shared.cluster.on_zookeeper_loss,
            retention: shared.store.retention,
            before_send: shared.webhooks.before_send.clone(),
            ticket_key: SigningKey::from_text(TICKET_KEY_NAME, &shared.cluster.ticket_key),
            jwt: shared.jwt.clone(),
            token_key: None,
            lease: store.lease(),
            data_dir: data_dir.into(),
        };
        Ok((cluster, incarnation))
    }

    /// Whether a node that needs message ids cuts them itself while ZooKeeper is lost. An embedded roster is never lost.
    pub fn cuts_own_ids(&self) -> bool {
        !self.embedded && self.on_zookeeper_loss == OnZooKeeperLoss::Unique
    }

    /// Shows as `lease` in the readiness of a node that stores how the lease stands under which that is acknowledged, where there
    /// is one. It never makes the node unready: no other one is better off.
    pub fn show_lease(&self, readiness: &Readiness) {
        if let Some(lease) = &self.lease {
            lease::show(readiness, lease.clone());
        }
    }

    /// An embedded cluster for tests, kept in `directory`.
    ///
    /// # Errors
    /// [`ClusterError`] says what could not be opened.
    pub async fn for_test(directory: &Path) -> Result<Self, ClusterError> {
        let shared = Shared::embedded_in(directory);
        Self::open(&shared, "test", wire::time::now_ms()).await.map(|(cluster, _)| cluster)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("embedded", &self.embedded)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
