//! Messages: append in batches, pages, heads, inboxes.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::value::RawValue;
use wire::{Conversation, Destination, Device, Group, Message, MessageId, NodeRef, User};

use crate::StoreError;

/// The connection that a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The device; `None` where a back end sends.
    pub device: Option<Device>,
    /// The device's epoch; an older one than the stored is refused. Ignored without a device.
    pub epoch: u64,
    /// The session, kept with the message; 0 for a back end.
    pub session: u64,
}

/// A message to be appended.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where.
    pub conversation: Conversation,
    /// Its id. The same id again in the same conversation is answered as a duplicate: a retry of our own.
    pub id: MessageId,
    /// The sender's own id: the same one by the same user in the same conversation within 24 hours is a duplicate.
    pub cid: Option<Arc<str>>,
    /// Who writes.
    pub from: User,
    /// From where.
    pub author: Author,
    /// What the sender addressed.
    pub to: Destination,
    /// The kind, `text` by default.
    pub kind: Arc<str>,
    /// Any JSON.
    pub body: Arc<RawValue>,
    /// For groups: refuse unless `from` is a member now. Off for the system.
    pub members_only: bool,
}

/// The message is stored, durably; what it was given.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The message; for a duplicate, the one that was stored first.
    pub message: Arc<Message>,
    /// Whether it had been stored before.
    pub duplicate: bool,
    /// Where it is to be delivered.
    pub routing: Routing,
    /// Of the group, as it was when the message was appended; 0 for two users.
    pub members_version: u64,
}

/// Which nodes are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    /// Two users: the nodes that hold their devices, read after the append.
    Direct(Vec<NodeRef>),
    /// A group: at least this version of its routing (see [`crate::Devices::routing`]); an older cached one is read again.
    Group {
        /// Grows with each change of the nodes that hold an online member.
        version: u64,
    },
}

/// Why one message of a batch was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    /// The group does not exist.
    #[error("there is no such group")]
    NoGroup,
    /// The sender is not a member.
    #[error("the sender is not a member of the group")]
    NotMember,
    /// The device has connected again since: this connection may not write any more.
    #[error("a newer connection of this device exists")]
    OldEpoch,
}

/// Which way a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From `after` on, ascending: the oldest messages of the interval.
    Forwards,
    /// From `before` back; the page itself is ascending still: the newest messages of the interval.
    Backwards,
}

/// Which messages of a conversation are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Of which conversation.
    pub conversation: Conversation,
    /// Only `seq` above this; 0 for all.
    pub after: u64,
    /// Only `seq` below this; `u64::MAX` for all.
    pub before: u64,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
    /// Stop once the bodies hold this many bytes (at least one message is answered).
    pub max_bytes: usize,
    /// Which end of the interval comes first.
    pub direction: Direction,
}

/// Messages of one conversation, ascending by `seq`.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Arc<Message>>,
    /// Whether the interval holds more than the page.
    pub more: bool,
    /// The conversation's last `seq`, 0 where it has none.
    pub last_seq: u64,
    /// The lowest `seq` that retention has left; 1 where nothing was trimmed.
    pub first_seq: u64,
    /// The last place of the conversation's change log when this was read, 0 where it is empty.
    pub rev: u64,
}

/// How far a conversation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The last `seq`, 0 where there is none.
    pub last_seq: u64,
    /// Of a group; 0 for two users. Grows with each change of its members.
    pub members_version: u64,
    /// When the last message was sent, 0 where there is none.
    pub last_at: i64,
    /// The last place of its change log, 0 where it is empty.
    pub rev: u64,
}

/// What a user has: their direct conversations and their groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inbox {
    /// Grows with each message and each logged change in a direct conversation and with each change of the user's groups; now
    /// and then without one. Never newer than what is read with it.
    pub version: u64,
    /// Direct conversations with their last `seq`.
    pub direct: Vec<(Conversation, u64)>,
    /// Every group the user is or was a member of (a superset: [`crate::Span`] decides).
    pub groups: Vec<Group>,
}

/// Messages and what is derived from them.
#[async_trait]
pub trait Messages: Send + Sync + 'static {
    /// Appends a batch; each entry is atomic by itself, entries keep their order within a conversation.
    ///
    /// One append: membership and epoch check, duplicate check by `cid` and by id, next `seq`, `sent_at` that never
    /// decreases, write; the sender's read mark moves to the new `seq`. Then, for two users, both inboxes are bumped
    /// (again for a duplicate) and the routing is read. Answers once all of it is durable.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing of the batch may be acknowledged; appending it again with the same ids is safe.
    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError>;

    /// Reads one page of each request.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn pages(&self, requests: Vec<PageRequest>) -> Result<Vec<Page>, StoreError>;

    /// How far each conversation has come.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn heads(&self, conversations: Vec<Conversation>) -> Result<Vec<Head>, StoreError>;

    /// The last `seq` that was sent at or before `at` (milliseconds since the Unix epoch), 0 where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn seqs_at(&self, at: i64, conversations: Vec<Conversation>) -> Result<Vec<u64>, StoreError>;

    /// How many messages the conversation has got within the last `window_ms`, by the store's own clock. For people to look
    /// at: after a failover it may count what is then found to be lost.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn sent_within(&self, window_ms: u64, conversation: &Conversation) -> Result<u64, StoreError>;

    /// A user's inbox.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn inbox(&self, user: &User) -> Result<Inbox, StoreError>;

    /// Only the versions of the inboxes of these users.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn inbox_versions(&self, users: Vec<User>) -> Result<Vec<u64>, StoreError>;

    /// How many entries the inbox of each user has: no fewer than groups that they are a member of.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn inbox_sizes(&self, users: Vec<User>) -> Result<Vec<u64>, StoreError>;

    /// How far each (user, conversation) has been read: the user's read mark, 0 where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read_seqs(&self, of: Vec<(User, Conversation)>) -> Result<Vec<u64>, StoreError>;
}
