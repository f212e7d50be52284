//! The roster on one real ZooKeeper that does no harm: the suite, and what only it can do.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use roster::{Roster, ZooKeeperOptions, ZooKeeperRoster, conformance::Fixture};

use support::{connect, fresh_root, options, shared};

struct Cluster {
    options: ZooKeeperOptions,
    given: Mutex<Vec<ZooKeeperRoster>>,
}

impl Cluster {
    async fn new() -> Self {
        let options = ZooKeeperOptions { root: fresh_root(), ..options(vec![shared().await.address()]) };
        Self { options, given: Mutex::default() }
    }
}

#[async_trait]
impl Fixture for Cluster {
    async fn connect(&self) -> Arc<dyn Roster> {
        let roster = connect(&self.options).await;
        self.given.lock().push(roster.clone());
        Arc::new(roster)
    }

    /// Ends all sessions; the server is shared with other cases.
    async fn restart(&mut self) {
        self.given.lock().clear();
    }
}

roster::conformance!(Cluster::new());
