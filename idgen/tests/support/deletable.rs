//! A roster whose persistent nodes an operator deletes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use roster::{EmbeddedRoster, Health, Leadership, Registration, Roster, RosterError, Snapshot, Version};
use tokio::sync::watch;
use wire::NodeRecord;

/// Passes everything on, and counts; after [`Deletable::delete`] there are no persistent nodes.
pub(crate) struct Deletable {
    inner: EmbeddedRoster,
    deleted: AtomicBool,
    creations: AtomicUsize,
    reads: AtomicUsize,
}

impl Deletable {
    pub(crate) fn new(inner: EmbeddedRoster) -> Self {
        Self {
            inner,
            deleted: AtomicBool::new(false),
            creations: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        }
    }

    pub(crate) fn delete(&self) {
        self.deleted.store(true, Ordering::SeqCst);
    }

    pub(crate) fn creations(&self) -> usize {
        self.creations.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Roster for Deletable {
    async fn register(&self, record: NodeRecord) -> Result<Box<dyn Registration>, RosterError> {
        self.inner.register(record).await
    }

    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.watch()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    async fn elect(&self, name: &str, candidate: &str) -> Result<Box<dyn Leadership>, RosterError> {
        self.inner.elect(name, candidate).await
    }

    async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, RosterError> {
        let found = if self.is_deleted() { None } else { self.inner.read(path).await? };
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(found)
    }

    async fn create(&self, path: &str, data: &[u8]) -> Result<Version, RosterError> {
        let version = self.inner.create(path, data).await?;
        self.creations.fetch_add(1, Ordering::SeqCst);
        Ok(version)
    }

    async fn write(&self, path: &str, data: &[u8], expected: Version) -> Result<Version, RosterError> {
        if self.is_deleted() {
            return Err(RosterError::Conflict { path: path.into(), expected });
        }
        self.inner.write(path, data, expected).await
    }

    fn session_timeout_ms(&self) -> u64 {
        self.inner.session_timeout_ms()
    }
}
