//! Changes to what was sent: read marks and recalled messages, and a log of them for each conversation.

use async_trait::async_trait;
use wire::{Change, Conversation, MessageId, User};

use crate::{Author, Routing, StoreError};

/// Changes of one conversation that are kept, the newest ones; of a user's readings only the last one. So only somebody who was away
/// while hundreds of messages were recalled in one conversation misses any; reading, they find the tombstones.
pub const CHANGES_KEPT: usize = 1_000;

/// A user has read a conversation up to `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRead {
    /// Which.
    pub conversation: Conversation,
    /// Who.
    pub user: User,
    /// The last message that they have read; more than there is, or more than is theirs, counts as all that is.
    pub seq: u64,
    /// In a group with more members than this it is not logged: the others are not told.
    pub most_members: u64,
}

/// What became of a read mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Where it stands now. It never goes back.
    pub read_seq: u64,
    /// Whether it has moved.
    pub moved: bool,
    /// How it stands in the log; `None` where it has not moved, or is not logged.
    pub logged: Option<Logged>,
}

/// Why a read mark was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkRefusal {
    /// The user never was a member of the group.
    #[error("the user never was a member of the group")]
    NotMember,
}

/// A sender takes a message back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recall {
    /// Of which conversation.
    pub conversation: Conversation,
    /// Which message.
    pub seq: u64,
    /// Who asks.
    pub user: User,
    /// From where.
    pub author: Author,
    /// For how long after sending this may be done, by the store's clock, milliseconds.
    pub window_ms: u64,
}

/// The message is a tombstone, durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallDone {
    /// The message's id.
    pub id: MessageId,
    /// How it stands in the log. Of one that was recalled before, the log's end.
    pub logged: Logged,
}

/// Why a message was not recalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecallRefusal {
    /// There is no such message, or retention has taken it.
    #[error("there is no such message")]
    NotFound,
    /// Somebody else sent it.
    #[error("only the sender may recall a message")]
    NotSender,
    /// It was sent too long ago.
    #[error("the message was sent too long ago")]
    TooLate,
    /// The device has connected again since: this connection may not write any more.
    #[error("a newer connection of this device exists")]
    OldEpoch,
}

/// A change in the log, and where it is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place in the conversation's log: greater than all before, and about the time in microseconds since the Unix epoch
    /// by the store's clock. So "since a time" and "since a place" are the same question.
    pub rev: u64,
    /// The log's last place before it, 0 where there was none. Equal to `rev` where nothing was added.
    pub previous_rev: u64,
    /// Of the group, as it was when it was changed; 0 for two users.
    pub members_version: u64,
    /// Which nodes are to be told.
    pub routing: Routing,
}

/// A change of a conversation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedChange {
    /// Its place in the log.
    pub rev: u64,
    /// What happened.
    pub change: Change,
}

/// The newer part of a conversation's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeList {
    /// The log's last place, 0 where it is empty.
    pub rev: u64,
    /// Ascending by `rev`; at most [`CHANGES_KEPT`].
    pub changes: Vec<LoggedChange>,
}

/// Read marks, recalled messages, and the log of both.
#[async_trait]
pub trait Changes: Send + Sync + 'static {
    /// Moves read marks forwards, each by itself. One that moves is logged, save in large groups; of two users both inboxes
    /// are bumped then.
    ///
    /// # Errors
    /// [`StoreError`]: marking again is safe.
    async fn mark_read(&self, batch: Vec<MarkRead>) -> Result<Vec<Result<Marked, MarkRefusal>>, StoreError>;

    /// Turns a message into a tombstone: its body is gone for all who read it from now on, its place stays. Of two users both
    /// inboxes are bumped. Doing it again is the same as doing it once, and bumps again.
    ///
    /// # Errors
    /// [`StoreError`]: recalling again is safe.
    async fn recall(&self, recall: Recall) -> Result<Result<RecallDone, RecallRefusal>, StoreError>;

    /// What each conversation's log holds after a `rev`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn changes(&self, after: Vec<(Conversation, u64)>) -> Result<Vec<ChangeList>, StoreError>;

    /// The user's direct conversations whose log is longer than `rev`, with its last place.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn changed_since(&self, user: &User, rev: u64) -> Result<Vec<(Conversation, u64)>, StoreError>;
}
