//! Outboxes: what a consumer beside the cluster (webhooks, an export) has not been given yet.
//!
//! An entry points to what happened; it is written in one step with what it points to. Each partition of the store has an
//! outbox of its own, in which entries have places 1, 2, 3 … without holes. A consumer confirms places, and what all consumers
//! have confirmed is removed. While nobody consumes, nothing is written.

use std::sync::Arc;

use async_trait::async_trait;
use wire::{Conversation, User};

use crate::StoreError;

/// Who consumes, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name: letters, digits and `-`.
    pub name: Arc<str>,
    /// Whether messages are written down for it.
    pub messages: bool,
    /// Whether changes of users' connections are.
    pub presence: bool,
    /// About how many entries may wait in the whole store; each partition has an equal part of that, 100 at least. Beyond, the
    /// oldest ones go. With several consumers the greatest number counts.
    pub most: u64,
}

/// What an entry points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// A message that was stored. It may have been recalled or trimmed since.
    Message {
        /// In which conversation.
        conversation: Conversation,
        /// Which.
        seq: u64,
    },
    /// A connection of this user began or ended.
    Presence(User),
}

/// An entry of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its place.
    pub place: u64,
    /// What it points to.
    pub pointer: Pointer,
}

/// What waits in the outbox of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPage {
    /// Which partition.
    pub partition: u16,
    /// The oldest entries that wait, in the order of their places; those of one conversation are in the order of `seq`.
    pub entries: Vec<OutboxEntry>,
    /// How many wait, these included.
    pub waiting: u64,
    /// How many entries after the confirmed one had to go before they were read.
    pub dropped: u64,
}

/// A consumer has been given everything up to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// Which partition.
    pub partition: u16,
    /// What [`Outbox::claim`] answered for it.
    pub term: u64,
    /// Up to which place; one that goes back is ignored, so 0 confirms nothing.
    pub place: u64,
    /// What the consumer was told of users of this partition; `None`: offline, and nothing is to be remembered.
    pub told: Vec<(User, Option<Told>)>,
}

/// What a consumer was told of a user, who may become something else without an entry: when a node is lost, or is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// They are online.
    Online,
    /// They are offline; the store has connections of theirs on nodes that were not in the roster.
    Lost,
}

/// Users of whom something is remembered, and where the next ones are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToldPage {
    /// The users, in any order. One that changes meanwhile may be missing or be there twice; the others are not passed over for it.
    pub users: Vec<(User, Told)>,
    /// What the next call is given; `None`: there are no more.
    pub next: Option<String>,
}

/// The outboxes.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// How many partitions there are; they are numbered from 0.
    fn partitions(&self) -> u16 {
        1
    }

    /// Somebody consumes from now on, or consumes something else than before. A new consumer begins with what comes next. Other
    /// processes learn it with [`Outbox::see_consumers`]; what they write before that is not written down.
    ///
    /// # Errors
    /// [`StoreError`]; the same call may be made again.
    async fn register(&self, consumer: &Consumer) -> Result<(), StoreError>;

    /// A consumer has gone for good: what waits for it is forgotten.
    ///
    /// # Errors
    /// [`StoreError`]; the same call may be made again.
    async fn unregister(&self, name: &str) -> Result<(), StoreError>;

    /// Looks who consumes. A process does so by itself before its first write; who writes for long calls this every few seconds.
    ///
    /// # Errors
    /// [`StoreError`]; then what was known before counts.
    async fn see_consumers(&self) -> Result<(), StoreError>;

    /// The caller does the work of these partitions from now on; answers a term for each, greater than any before. Earlier
    /// terms confirm nothing any more.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, name: &str, partitions: &[u16]) -> Result<Vec<u64>, StoreError>;

    /// What waits in these partitions after what is confirmed, at most `limit` entries of each; only those in which something
    /// waits are answered. What is answered no failover takes back.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn waiting(
        &self,
        name: &str,
        partitions: &[u16],
        limit: usize,
    ) -> Result<Vec<OutboxPage>, StoreError>;

    /// Confirms; answers for each whether the term still counts. If it does not, nothing was changed.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn confirm(&self, name: &str, confirms: Vec<Confirm>) -> Result<Vec<bool>, StoreError>;

    /// What the consumer was told of each user; `None`: nothing, or that they are offline.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn told(&self, name: &str, users: &[User]) -> Result<Vec<Option<Told>>, StoreError>;

    /// Some users of a partition of whom something is remembered; `from` is empty or what the call before answered.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn told_page(&self, name: &str, partition: u16, from: &str) -> Result<ToldPage, StoreError>;
}

/// What is to be written down, as a process knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// For messages: the most entries of a partition; 0 where nobody wants them.
    pub(crate) messages: u64,
    /// The same for changes of users' connections.
    pub(crate) presence: u64,
}

/// A partition's outbox holds at least so many.
const MOST_MIN: u64 = 100;

impl Wanted {
    /// `partitions`: how many share what a consumer asks for.
    pub(crate) fn by(consumers: impl IntoIterator<Item = Consumer>, partitions: u16) -> Self {
        let mut wanted = Self::default();
        for consumer in consumers {
            let most = (consumer.most / u64::from(partitions.max(1))).max(MOST_MIN);
            if consumer.messages {
                wanted.messages = wanted.messages.max(most);
            }
            if consumer.presence {
                wanted.presence = wanted.presence.max(most);
            }
        }
        // One outbox holds both.
        let most = wanted.messages.max(wanted.presence);
        wanted.messages = if wanted.messages > 0 { most } else { 0 };
        wanted.presence = if wanted.presence > 0 { most } else { 0 };
        wanted
    }
}
