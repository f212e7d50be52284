//! What all parts share: the connection as it is now, and how to use it.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{runtime::Handle, sync::watch, time};
use tokio_util::sync::CancellationToken;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, OneshotWatcher};

use super::{ZooKeeperOptions, layout::Layout, standing::Standing};
use crate::{RosterError, Snapshot};

/// How long one who leaves waits for a connection that is lost: most come back within this.
const RETURN: Duration = Duration::from_secs(1);

/// One connection of one session.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    /// The session's number, greater than that of an earlier one.
    pub(super) session: u64,
    /// Cancelled when the connection is lost, or the session with it.
    pub(super) lost: CancellationToken,
}

impl Connection {
    /// Whether this session owns an ephemeral node.
    pub(super) fn owns(&self, stat: &zookeeper_client::Stat) -> bool {
        stat.ephemeral_owner == self.client.session_id().0
    }
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) layout: Layout,
    pub(super) operation_timeout: Duration,
    pub(super) standing: Standing,
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    /// Cancelled when nobody holds the roster any more.
    pub(super) ended: CancellationToken,
    /// Where handles that are dropped outside of a task finish their work.
    pub(super) runtime: Handle,
    connection: watch::Sender<Option<Arc<Connection>>>,
    session_timeout_ms: AtomicU64,
    acls: Acls<'static>,
    serials: AtomicU64,
}

impl Core {
    pub(super) fn new(options: &ZooKeeperOptions, ended: CancellationToken) -> Self {
        let core = Self {
            layout: Layout::new(&options.chroot, &options.root),
            operation_timeout: options.operation_timeout,
            standing: Standing::new(),
            snapshot: watch::Sender::default(),
            ended,
            runtime: Handle::current(),
            connection: watch::Sender::new(None),
            session_timeout_ms: AtomicU64::new(0),
            acls: if options.user.is_empty() { Acls::anyone_all() } else { Acls::creator_all() },
            serials: AtomicU64::new(0),
        };
        core.granted(options.session_timeout);
        core
    }

    pub(super) fn granted(&self, session_timeout: Duration) {
        let milliseconds = u64::try_from(session_timeout.as_millis()).unwrap_or(u64::MAX);
        self.session_timeout_ms.store(milliseconds, Ordering::Relaxed);
    }

    pub(super) fn session_timeout_ms(&self) -> u64 {
        self.session_timeout_ms.load(Ordering::Relaxed)
    }

    /// A number that no other registration or session of this roster has.
    pub(super) fn serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn connect(&self, connection: Arc<Connection>) {
        self.standing.connected(connection.session);
        self.connection.send_replace(Some(connection));
    }

    /// Leaderships are lost before anything else happens.
    pub(super) fn disconnect(&self) {
        let connection = self.connection.borrow().clone();
        if let Some(connection) = connection {
            connection.lost.cancel();
            self.connection.send_replace(None);
            self.standing.disconnected();
            metrics::counter!("phalanx_roster_disconnects_total").increment(1);
        }
    }

    /// The connection, as soon as there is one; nothing where the roster has ended.
    pub(super) async fn connected(&self) -> Option<Arc<Connection>> {
        let mut connections = self.connection.subscribe();
        let found = self.ended.run_until_cancelled(connections.wait_for(Option::is_some)).await?;
        found.ok()?.clone()
    }

    /// As [`Core::connected`], for one who answers somebody.
    pub(super) async fn reach(&self) -> Result<Arc<Connection>, RosterError> {
        self.connected().await.ok_or_else(|| RosterError::Unavailable("it has been closed".into()))
    }

    /// Waits until what was asked for is done, as long as it can be: a node that stops must not hang on a roster that is away.
    pub(super) async fn parting(&self, done: &CancellationToken) {
        let reachable = async {
            while let Ok(Some(connection)) = time::timeout(RETURN, self.connected()).await {
                connection.lost.cancelled().await;
            }
        };
        tokio::select! {
            () = done.cancelled() => {}
            () = reachable => {}
            () = time::sleep(self.operation_timeout) => {}
        }
    }

    /// Bounds an operation, the wait for a connection included.
    pub(super) async fn bounded<T>(
        &self,
        operation: impl Future<Output = Result<T, RosterError>>,
    ) -> Result<T, RosterError> {
        let limit = self.operation_timeout;
        time::timeout(limit, operation).await.unwrap_or_else(|_| {
            Err(RosterError::Unavailable(format!("no answer from ZooKeeper within {} ms", limit.as_millis())))
        })
    }

    /// How nodes of this kind are created.
    pub(super) fn kind(&self, mode: CreateMode) -> CreateOptions<'static> {
        mode.with_acls(self.acls)
    }

    /// Makes a persistent node without content, and what it needs above it.
    pub(super) async fn make(&self, client: &Client, path: &str) -> Result<(), Error> {
        client.mkdir(path, &self.kind(CreateMode::Persistent)).await
    }
}

/// Waits until what is watched has changed, or may have: the library's watcher panics where its client's task is gone.
pub(super) async fn change(watcher: OneshotWatcher) {
    if AssertUnwindSafe(watcher.changed()).catch_unwind().await.is_err() {
        tracing::error!("a watch has ended without an event");
    }
}

/// What went wrong between this process and ZooKeeper, for a caller.
pub(super) fn unavailable(error: &Error) -> RosterError {
    RosterError::Unavailable(match error {
        Error::NoAuth => "ZooKeeper does not let this user in: check user and password".into(),
        error => format!("ZooKeeper: {error}"),
    })
}
