//! What one process of a cluster on ZooKeeper has.

use std::time::Duration;

use idgen::Mode;
use roster::{Health, Roster, ZooKeeperOptions, ZooKeeperRoster};
use rpc::{IdClient, IdOptions, Secret};
use servers::{Wire, ZooKeeper};
use std::sync::Arc;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{BUDGET, Node, SECRET};

/// The session time-out: a busy machine stands still for less than the 0.4 of it after which a connection is given up.
pub(crate) const SESSION: Duration = Duration::from_secs(4);

/// A session of its own, over a wire of its own.
pub(crate) struct Process {
    pub(crate) wire: Wire,
    cluster: boot::Cluster,
    stop: CancellationToken,
    _stop: DropGuard,
    _directory: TempDir,
}

impl Process {
    pub(crate) async fn start(server: &ZooKeeper) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let wire = Wire::to(server.address()).await;
        let options = ZooKeeperOptions {
            servers: vec![wire.address()],
            session_timeout: SESSION,
            operation_timeout: Duration::from_secs(2),
            ..ZooKeeperOptions::default()
        };
        let roster = ZooKeeperRoster::open(options).expect("the options are right");
        let mut health = roster.health();
        let good = health.wait_for(|health| *health == Health::Good);
        tokio::time::timeout(BUDGET, good).await.expect("it is reached").expect("it is held");
        let mut cluster = boot::Cluster::for_test(directory.path()).await.expect("a cluster");
        cluster.roster = Arc::new(roster);
        cluster.secret = SECRET.into();
        let stop = CancellationToken::new();
        Self { wire, cluster, _stop: stop.clone().drop_guard(), stop, _directory: directory }
    }

    pub(crate) async fn idgen(&self, id: &str) -> Node {
        Node::start(&self.cluster, id, Mode::Strict).await
    }

    pub(crate) fn client(&self, options: IdOptions) -> IdClient {
        IdClient::spawn(self.cluster.roster.clone(), Secret::new(SECRET), self.stop.clone(), options)
    }

    pub(crate) fn is_good(&self) -> bool {
        *self.cluster.roster.health().borrow() == Health::Good
    }
}
