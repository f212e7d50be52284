//! The truth: messages, groups, cursors and presence.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | [`Store`], [`StoreError`] |
//! | `messages.rs` | [`Messages`]: append in batches, pages, heads, inboxes |
//! | `changes.rs` | [`Changes`]: read marks, recalled messages, and a log of both |
//! | `groups.rs` | [`Groups`]: groups, members and their spans |
//! | `devices.rs` | [`Devices`]: presence by node incarnation and device epoch, cursors, routing |
//! | `watching.rs` | [`Watching`]: which nodes watch whose presence and messages |
//! | `bans.rs` | [`Bans`]: users who may not connect |
//! | `erasure.rs` | [`Erasure`]: what is kept of a user, told and forgotten |
//! | `reports.rs` | [`Reports`]: the last state that each node reported |
//! | `retention.rs` | [`Retention`]: what is old is trimmed |
//! | `outbox.rs` | [`Outbox`]: what consumers beside the cluster have not been given yet |
//! | `sqlite/` | the embedded implementation |
//! | `redis/` | the implementation for clusters |
//! | `conformance/` | what every implementation must do; each runs it in its tests |
//!
//! Every method takes or answers a batch where callers have many, so that an implementation can do one round trip and one
//! wait for durability. What a method has answered is durable, unless its doc says otherwise.

mod bans;
mod changes;
mod devices;
mod erasure;
mod groups;
mod messages;
mod outbox;
mod redis;
mod reports;
mod retention;
mod sqlite;
mod watching;

pub mod conformance;

pub use bans::Bans;
pub use changes::{
    CHANGES_KEPT, ChangeList, Changes, Logged, LoggedChange, MarkRead, MarkRefusal, Marked, Recall,
    RecallDone, RecallRefusal,
};
pub use devices::{
    Connect, Connected, CursorMove, Cursors, DeviceKey, DeviceLimits, DevicePresence, Devices, Disconnect,
    Evicted, Held, InterestChange, Moved, RoomCount, RoomHolder, UserPresence,
};
pub use erasure::{Erasure, KnownDevice};
pub use groups::{GroupRecord, Groups, JoinRefusal, MemberPage, MembersChanged, Span, UserGroup};
pub use messages::{
    Append, AppendRefusal, Appended, Author, Direction, Head, Inbox, Messages, Page, PageRequest, Routing,
};
pub use outbox::{Confirm, Consumer, Outbox, OutboxEntry, OutboxPage, Pointer, Told, ToldPage};
pub use redis::{RedisOptions, RedisStore};
pub use reports::{Report, Reports};
pub use retention::{Extent, Progress, Retention, RetentionPolicy, Space, TrimStep};
pub use sqlite::{SqliteOptions, SqliteStore, StoreCopy};
pub use watching::{WatchChange, Watched, Watching};

/// Everything that is kept.
pub trait Store:
    Messages + Changes + Groups + Devices + Watching + Bans + Erasure + Reports + Retention + Outbox
{
}
impl<T: Messages + Changes + Groups + Devices + Watching + Bans + Erasure + Reports + Retention + Outbox>
    Store for T
{
}

/// Why the store could not do a whole call. Single refusals within a batch have types of their own.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be done now, or it is not known whether it was done; the same call may be made again.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// There is no room for it, and none was made while it waited. What of the call met this was not done, other parts may have
    /// been; the same call may be made again.
    #[error("the store is full: {0}")]
    Full(String),
    /// Another process has it open.
    #[error("{0} is locked by another process: only one may use it")]
    Locked(String),
    /// It was written by a newer version of the program.
    #[error("{place} has schema version {found}; this program knows up to {known}: use a newer program")]
    Schema {
        /// Which file or server.
        place: String,
        /// The version found.
        found: u64,
        /// The newest version that this program knows.
        known: u64,
    },
    /// What is stored cannot be read.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(String),
}
