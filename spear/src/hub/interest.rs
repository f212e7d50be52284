//! Tells the store which groups this node wants hints of.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use store::{InterestChange, Store, StoreError};
use tokio::time;
use wire::{Group, NodeRef};

use super::assertion::{CHUNK, PAUSE};

/// The groups that this node is registered for; bounded by the groups of the users who are connected here.
pub(super) struct Interest {
    node: NodeRef,
    store: Arc<dyn Store>,
    /// Held across the store's call, so that registering and taking back are seen in the order they happened. Off the message path.
    registered: tokio::sync::Mutex<HashSet<Group>>,
    count: AtomicUsize,
    /// Groups that nobody here needed at some moment; looked at again when tidying.
    unneeded: parking_lot::Mutex<HashSet<Group>>,
}

impl Interest {
    pub(super) fn new(node: NodeRef, store: Arc<dyn Store>) -> Self {
        Self {
            node,
            store,
            registered: tokio::sync::Mutex::default(),
            count: AtomicUsize::new(0),
            unneeded: parking_lot::Mutex::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Registers groups that are not yet registered. The caller has a subscriber in each already, so that tidying leaves
    /// them alone.
    pub(super) async fn want(&self, groups: &[Group]) -> Result<(), StoreError> {
        let mut registered = self.registered.lock().await;
        let new: Vec<Group> = groups.iter().filter(|group| !registered.contains(*group)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let change = |group: &Group| InterestChange { group: group.clone(), interested: true };
        self.store.set_interest(&self.node, new.iter().map(change).collect()).await?;
        registered.extend(new);
        self.count.store(registered.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Registers everything again, after the store may have forgotten it. What is registered or taken back meanwhile need
    /// not wait for all of it.
    pub(super) async fn assert(&self) -> Result<(), StoreError> {
        let all: Vec<Group> = self.registered.lock().await.iter().cloned().collect();
        for chunk in all.chunks(CHUNK) {
            {
                let registered = self.registered.lock().await;
                let still = chunk.iter().filter(|group| registered.contains(*group));
                let changes = still.map(|group| InterestChange { group: group.clone(), interested: true });
                self.store.set_interest(&self.node, changes.collect()).await?;
            }
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Nobody needs this group at the moment.
    pub(super) fn drop_later(&self, group: Group) {
        self.unneeded.lock().insert(group);
    }

    /// Takes back what nobody needs any more.
    pub(super) async fn tidy(&self, needed: impl Fn(&Group) -> bool) -> Result<(), StoreError> {
        let candidates = std::mem::take(&mut *self.unneeded.lock());
        if candidates.is_empty() {
            return Ok(());
        }
        let mut registered = self.registered.lock().await;
        let gone: Vec<Group> =
            candidates.into_iter().filter(|group| registered.contains(group) && !needed(group)).collect();
        let change = |group: &Group| InterestChange { group: group.clone(), interested: false };
        if let Err(error) = self.store.set_interest(&self.node, gone.iter().map(change).collect()).await {
            self.unneeded.lock().extend(gone);
            return Err(error);
        }
        for group in &gone {
            registered.remove(group);
        }
        self.count.store(registered.len(), Ordering::Relaxed);
        Ok(())
    }
}
