//! Which shares this node holds, and its work while it does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use roster::{Leadership, Roster, Snapshot};
use store::{Consumer, Store, StoreError};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::share::Share;

/// For how long another node must be the one that should hold a share before its holder lets it go: what comes and goes at once
/// moves nothing.
const HYSTERESIS: Duration = Duration::from_secs(2);

/// After an election that could not be joined, a store that did not answer, or work that ended.
const RETRY: Duration = Duration::from_secs(1);

/// A share that this node holds.
pub(crate) struct Held {
    /// Which.
    pub(crate) share: Share,
    /// By partition: what a confirmation needs.
    pub(crate) terms: BTreeMap<u16, u64>,
    /// Cancelled when another node should go on: the work ends after what is under way.
    pub(crate) yields: CancellationToken,
}

/// What is done in a share while it is held.
#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// Works until `held` yields, or a confirmation is refused. It is dropped where the share is lost.
    async fn work(&self, held: Held);
}

/// This node's part in the work of a consumer.
pub(crate) struct Leases {
    id: Arc<str>,
    consumer: Consumer,
    roster: Arc<dyn Roster>,
    store: Arc<dyn Store>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

impl Leases {
    pub(crate) fn new(
        id: Arc<str>,
        consumer: Consumer,
        roster: Arc<dyn Roster>,
        store: Arc<dyn Store>,
    ) -> Self {
        let snapshot = roster.watch();
        Self { id, consumer, roster, store, snapshot }
    }

    /// Registers the consumer, then takes part until `stop`; then each share ends after what is under way there.
    pub(crate) async fn run(self, work: Arc<dyn Work>, stop: CancellationToken) {
        let registered = async {
            while let Err(error) = self.store.register(&self.consumer).await {
                tracing::warn!(%error, consumer = &*self.consumer.name, "the consumer cannot be registered yet");
                time::sleep(RETRY).await;
            }
        };
        if stop.run_until_cancelled(registered).await.is_none() {
            return;
        }
        let (leases, shares) = (Arc::new(self), Share::all);
        let shares = shares(leases.store.partitions());
        let tasks: Vec<_> = shares
            .into_iter()
            .map(|share| boot::spawn(leases.clone().take_part(share, work.clone(), stop.clone())))
            .collect();
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the work of a share ended");
            }
        }
    }

    async fn take_part(self: Arc<Self>, share: Share, work: Arc<dyn Work>, stop: CancellationToken) {
        let name = format!("stat/outbox/{}/{}", self.consumer.name, share.number);
        loop {
            let turn = async {
                self.until(&share, true).await;
                tokio::select! {
                    elected = self.roster.elect(&name, &self.id) => Some(elected),
                    () = self.until_others(&share) => None,
                }
            };
            match stop.run_until_cancelled(turn).await {
                None => return,
                Some(None) => continue,
                Some(Some(Ok(leadership))) => self.hold(&share, leadership, &*work, &stop).await,
                Some(Some(Err(error))) => {
                    tracing::warn!(%error, name, "the election of who does the work cannot be joined");
                }
            }
            if stop.run_until_cancelled(time::sleep(RETRY)).await.is_none() {
                return;
            }
        }
    }

    async fn hold(
        &self,
        share: &Share,
        leadership: Box<dyn Leadership>,
        work: &dyn Work,
        stop: &CancellationToken,
    ) {
        let yields = stop.child_token();
        let working = async {
            match self.claim(share).await {
                Ok(terms) => work.work(Held { share: share.clone(), terms, yields: yields.clone() }).await,
                Err(error) => tracing::warn!(%error, share = share.number, "a share cannot be claimed"),
            }
        };
        let yielding = async {
            self.until_others(share).await;
            yields.cancel();
            std::future::pending::<()>().await;
        };
        leadership
            .lost()
            .run_until_cancelled(async {
                tokio::select! {
                    () = working => {}
                    () = yielding => {}
                }
            })
            .await;
        leadership.resign().await;
    }

    async fn claim(&self, share: &Share) -> Result<BTreeMap<u16, u64>, StoreError> {
        let name = &*self.consumer.name;
        let mut terms = self.store.claim(name, &share.partitions).await?;
        if terms.contains(&0) {
            // The store has lost it, or somebody took it out.
            self.store.register(&self.consumer).await?;
            terms = self.store.claim(name, &share.partitions).await?;
        }
        Ok(share.partitions.iter().copied().zip(terms).collect())
    }

    fn is_mine(&self, share: &Share, snapshot: &Snapshot) -> bool {
        share.preferred(snapshot).is_some_and(|id| id == self.id)
    }

    /// Returns once this node is, or is not, the one that should hold the share.
    async fn until(&self, share: &Share, mine: bool) {
        let mut snapshot = self.snapshot.clone();
        if snapshot.wait_for(|snapshot| self.is_mine(share, snapshot) == mine).await.is_err() {
            // The roster has ended, and with it the process.
            std::future::pending::<()>().await;
        }
    }

    /// Returns once another node should hold the share, and has for a while.
    async fn until_others(&self, share: &Share) {
        loop {
            self.until(share, false).await;
            if time::timeout(HYSTERESIS, self.until(share, true)).await.is_err() {
                return;
            }
        }
    }
}
