//! A store of which one call can be made to fail, and that can be restarted, for the tests of this folder.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use store::{
    Append, AppendRefusal, Appended, Bans, ChangeList, Changes, Confirm, Connect, Connected, Consumer,
    CursorMove, Cursors, DeviceKey, Devices, Disconnect, Erasure, GroupRecord, Groups, Head, Held, Inbox,
    InterestChange, JoinRefusal, KnownDevice, MarkRead, MarkRefusal, Marked, MemberPage, MembersChanged,
    Messages, Moved, Outbox, OutboxPage, Page, PageRequest, Progress, Recall, RecallDone, RecallRefusal,
    Report, Reports, Retention, RetentionPolicy, RoomCount, RoomHolder, Space, SqliteOptions, SqliteStore,
    StoreError, Told, ToldPage, TrimStep, UserGroup, UserPresence, WatchChange, Watching,
};
use tokio::sync::{RwLock, oneshot};
use wire::{Conversation, Group, NodeRef, Room, User};

/// Passes every call on, save the one that is to fail.
pub(super) struct Flaky {
    directory: PathBuf,
    /// Closed only while it restarts.
    inner: RwLock<Option<SqliteStore>>,
    failing: Mutex<Option<&'static str>>,
    failures: AtomicUsize,
    /// A call that waits before it is passed on, the next time.
    held: Mutex<Option<Hold>>,
}

struct Hold {
    call: &'static str,
    released: oneshot::Receiver<()>,
}

impl Flaky {
    pub(super) fn open(directory: &Path) -> Self {
        let inner = RwLock::new(Some(open(directory)));
        let failures = AtomicUsize::new(0);
        Self {
            directory: directory.into(),
            inner,
            failing: Mutex::default(),
            failures,
            held: Mutex::default(),
        }
    }

    /// Forgets what need not survive a restart.
    pub(super) async fn restart(&self) {
        let mut inner = self.inner.write().await;
        *inner = None;
        *inner = Some(open(&self.directory));
    }

    /// From now on this call fails; with `None`, none does.
    pub(super) fn fail(&self, call: Option<&'static str>) {
        *self.failing.lock() = call;
    }

    /// The next one of this call waits until what is answered is dropped.
    pub(super) fn hold(&self, call: &'static str) -> oneshot::Sender<()> {
        let (release, released) = oneshot::channel();
        *self.held.lock() = Some(Hold { call, released });
        release
    }

    /// Whether the call that was to wait has come.
    pub(super) fn is_held(&self) -> bool {
        self.held.lock().is_none()
    }

    /// How many calls have failed.
    pub(super) fn failures(&self) -> usize {
        self.failures.load(Ordering::Relaxed)
    }

    async fn check(&self, call: &str) -> Result<(), StoreError> {
        let held = self.held.lock().take_if(|held| held.call == call);
        if let Some(held) = held {
            let _ = held.released.await;
        }
        if self.failing.lock().is_none_or(|failing| failing != call) {
            return Ok(());
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::Unavailable(format!("{call} is made to fail")))
    }
}

fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, SqliteOptions::default()).expect("a store")
}

macro_rules! pass_on {
    ($($part:ident { $(fn $call:ident($($name:ident: $kind:ty),*) -> $answer:ty;)* })*) => {
        $(#[async_trait]
        impl $part for Flaky {
            $(async fn $call(&self, $($name: $kind),*) -> Result<$answer, StoreError> {
                self.check(stringify!($call)).await?;
                self.inner.read().await.as_ref().expect("it is open").$call($($name),*).await
            })*
        })*
    };
}

pass_on! {
    Messages {
        fn append(batch: Vec<Append>) -> Vec<Result<Appended, AppendRefusal>>;
        fn pages(requests: Vec<PageRequest>) -> Vec<Page>;
        fn heads(conversations: Vec<Conversation>) -> Vec<Head>;
        fn seqs_at(at: i64, conversations: Vec<Conversation>) -> Vec<u64>;
        fn sent_within(window_ms: u64, conversation: &Conversation) -> u64;
        fn inbox(user: &User) -> Inbox;
        fn inbox_versions(users: Vec<User>) -> Vec<u64>;
        fn inbox_sizes(users: Vec<User>) -> Vec<u64>;
        fn read_seqs(of: Vec<(User, Conversation)>) -> Vec<u64>;
    }
    Changes {
        fn mark_read(batch: Vec<MarkRead>) -> Vec<Result<Marked, MarkRefusal>>;
        fn recall(recall: Recall) -> Result<RecallDone, RecallRefusal>;
        fn changes(after: Vec<(Conversation, u64)>) -> Vec<ChangeList>;
        fn changed_since(user: &User, rev: u64) -> Vec<(Conversation, u64)>;
    }
    Groups {
        fn put_group(record: GroupRecord) -> bool;
        fn group(group: &Group) -> Option<GroupRecord>;
        fn delete_group(group: &Group) -> Option<MembersChanged>;
        fn add_members(group: &Group, users: Vec<User>) -> Option<MembersChanged>;
        fn join_group(group: &Group, user: User, most: u64) -> Result<MembersChanged, JoinRefusal>;
        fn remove_members(group: &Group, users: Vec<User>) -> Option<MembersChanged>;
        fn members(group: &Group, cursor: Option<User>, limit: usize) -> Option<MemberPage>;
        fn memberships(of: Vec<(User, Group)>) -> Vec<UserGroup>;
    }
    Devices {
        fn enter(node: &NodeRef) -> ();
        fn connect(batch: Vec<Connect>) -> Vec<Connected>;
        fn disconnect(batch: Vec<Disconnect>) -> Vec<Vec<NodeRef>>;
        fn generation() -> u64;
        fn assert_presence(node: &NodeRef, batch: Vec<Held>) -> Vec<bool>;
        fn cursors(key: &DeviceKey) -> Cursors;
        fn move_cursors(batch: Vec<CursorMove>) -> Vec<Moved>;
        fn set_interest(node: &NodeRef, changes: Vec<InterestChange>) -> ();
        fn routing(groups: Vec<Group>) -> Vec<(u64, Vec<NodeRef>)>;
        fn set_room_members(node: &NodeRef, counts: Vec<RoomCount>) -> Vec<Vec<RoomHolder>>;
        fn room_members(rooms: Vec<Room>) -> Vec<Vec<RoomHolder>>;
        fn presence(users: Vec<User>) -> Vec<UserPresence>;
    }
    Watching {
        fn set_watched(node: &NodeRef, changes: Vec<WatchChange>) -> ();
    }
    Bans {
        fn set_banned(user: &User, banned: bool) -> bool;
        fn is_banned(user: &User) -> bool;
    }
    Erasure {
        fn known_devices(user: &User) -> Vec<KnownDevice>;
        fn forget_place(user: &User, conversation: &Conversation) -> bool;
        fn forget_devices(user: &User) -> ();
    }
    Reports {
        fn put_report(report: Report) -> ();
        fn reports() -> Vec<Report>;
    }
    Retention {
        fn trim(policy: RetentionPolicy, from: Progress) -> TrimStep;
        fn space() -> Vec<Space>;
    }
    Outbox {
        fn register(consumer: &Consumer) -> ();
        fn unregister(name: &str) -> ();
        fn see_consumers() -> ();
        fn claim(name: &str, partitions: &[u16]) -> Vec<u64>;
        fn waiting(name: &str, partitions: &[u16], limit: usize) -> Vec<OutboxPage>;
        fn confirm(name: &str, confirms: Vec<Confirm>) -> Vec<bool>;
        fn told(name: &str, users: &[User]) -> Vec<Option<Told>>;
        fn told_page(name: &str, partition: u16, from: &str) -> ToldPage;
    }
}
