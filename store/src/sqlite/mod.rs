//! The embedded store: SQLite in one directory that one process opens.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`SqliteStore`]: opening, asking, closing |
//! | `options.rs` | [`SqliteOptions`] |
//! | `schema.rs`, `schema_1.sql` to `schema_5.sql` | the tables and their versions |
//! | `writer.rs` | the one thread that writes, many calls in one transaction |
//! | `job.rs` | what it is asked to do; `unit.rs`: what it works with meanwhile |
//! | `conversations.rs` | rows of conversations that it remembers |
//! | `append.rs` | appending |
//! | `ids.rs`, `cids.rs` | what was stored before |
//! | `readers.rs` | connections that read |
//! | `messages.rs`, `pages.rs`, `rows.rs` | reading messages, inboxes, read marks |
//! | `changes.rs`, `marks.rs`, `recall.rs` | the change log; read marks; recalled messages |
//! | `groups.rs`, `members.rs` | groups; changes of members |
//! | `devices.rs`, `cursors.rs`, `forget.rs` | connections and epochs; cursors; devices that are forgotten |
//! | `live.rs`: `presence.rs`, `interest.rs`, `rooms.rs`, `watching.rs`, `versions.rs` | what does not survive the process |
//! | `bans.rs` | the ban list |
//! | `erasure.rs` | what is kept of a user |
//! | `reports.rs` | the nodes' last reports |
//! | `retention.rs` | trimming |
//! | `backup.rs` | copies of the file, made while it is in use |
//! | `outbox.rs`, `consumers.rs` | what consumers have not been given yet: writing and reading it; who consumes |
//! | `cache.rs`, `failure.rs` | a bounded map; errors and columns |

mod append;
mod backup;
mod bans;
mod cache;
mod changes;
mod cids;
mod consumers;
mod conversations;
mod cursors;
mod devices;
mod erasure;
mod failure;
mod forget;
mod groups;
mod ids;
mod interest;
mod job;
mod live;
mod marks;
mod members;
mod messages;
mod options;
mod outbox;
mod pages;
mod presence;
mod readers;
mod recall;
mod reports;
mod retention;
mod rooms;
mod rows;
mod schema;
mod unit;
mod versions;
mod watching;
mod writer;

use std::{
    fs::{self, File, TryLockError},
    hash::{BuildHasher as _, RandomState},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

pub use self::{backup::StoreCopy, options::SqliteOptions};
use self::{
    job::{Job, Operation, Task},
    live::Live,
    readers::Readers,
    reports::LastReports,
    writer::Writer,
};
use crate::StoreError;

/// The file in the directory that holds everything; SQLite adds `-wal` and `-shm` beside it.
const FILE: &str = "store.sqlite";
/// The file that is locked while the directory is in use.
const LOCK: &str = "store.lock";
/// How long a call waits for a place in the writer's queue, milliseconds; then it is refused.
const QUEUE_WAIT_MS: u64 = 10_000;

/// The store of one process, in a directory.
///
/// One thread writes; it puts what gathers meanwhile into one transaction, and answers after the disk has confirmed it.
/// Dropping the store does what is queued, closes the files and unlocks the directory; it blocks until then.
pub struct SqliteStore {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<thread::JoinHandle<()>>,
    readers: Readers,
    live: Arc<RwLock<Live>>,
    reports: Mutex<LastReports>,
    /// The one that messages are dated with.
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Random: what is in memory is forgotten with the process.
    generation: u64,
    /// Last, so that it is released when everything else is closed.
    _lock: File,
}

/// Makes the directory where it is missing, and takes it for this process.
fn lock(dir: &Path) -> Result<File, StoreError> {
    fs::create_dir_all(dir).map_err(|error| unavailable(dir, &error))?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join(LOCK));
    let lock = lock.map_err(|error| unavailable(dir, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(unavailable(dir, &error)),
    }
}

fn unavailable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

impl SqliteStore {
    /// Opens the store in `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another store has the directory open, [`StoreError::Schema`] where a newer program
    /// wrote it, [`StoreError::Corrupt`] where it is not a store, [`StoreError::Unavailable`] where the disk does not work.
    pub fn open(dir: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        let connection = schema::open_writer(&path, options.cache_kib, options.max_pages)?;
        let readers = Readers::new(path, options.readers, options.cache_kib);
        let (queue, jobs) = mpsc::channel(options.queue);
        let clock = options.clock.clone();
        let writer = Writer::new(connection, options)?;
        let live = writer.live();
        let writer = Some(writer.spawn(jobs).map_err(|error| unavailable(dir, &error))?);
        let reports = Mutex::new(LastReports::default());
        let generation = RandomState::new().hash_one(());
        Ok(Self { queue: Some(queue), writer, readers, live, reports, clock, generation, _lock: lock })
    }

    /// Has the writer do it; answers once it is durable.
    async fn write<O: Operation>(&self, operation: O) -> Result<O::Answer, StoreError> {
        let stopped = || StoreError::Unavailable("the writer has stopped: restart the program".into());
        let (task, answer) = Task::new(operation);
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        match queue.send_timeout(Box::new(task), Duration::from_millis(QUEUE_WAIT_MS)).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                return Err(StoreError::Unavailable("too many changes are waiting; try again".into()));
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(stopped()),
        }
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue = None;
        // The writer closes last, so that it tidies the log up.
        self.readers.close_idle();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store ended with a panic");
        }
    }
}
