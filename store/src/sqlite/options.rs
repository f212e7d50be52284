//! How a store in SQLite is run.

use std::{fmt, sync::Arc};

/// How a [`super::SqliteStore`] is run; the default fits a small server.
#[derive(Clone)]
pub struct SqliteOptions {
    /// Calls that may wait for the writer; beyond, callers wait for a place in the queue.
    pub queue: usize,
    /// Rows, roughly, at which a transaction takes no further call. A single call is never split.
    pub batch_rows: usize,
    /// Bytes, roughly, at which a transaction takes no further call.
    pub batch_bytes: usize,
    /// Connections that read, each on a thread while it does.
    pub readers: usize,
    /// Page cache of each connection, KiB.
    pub cache_kib: i64,
    /// The file grows to at most this many pages of 4 KiB; beyond, writing is refused. `None`: no limit.
    pub max_pages: Option<u32>,
    /// The clock, milliseconds since the Unix epoch.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            queue: 1_024,
            batch_rows: 4_096,
            batch_bytes: 4 * 1024 * 1024,
            readers: 4,
            cache_kib: 32 * 1024,
            max_pages: None,
            clock: Arc::new(wire::time::now_ms),
        }
    }
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("queue", &self.queue)
            .field("batch_rows", &self.batch_rows)
            .field("batch_bytes", &self.batch_bytes)
            .field("readers", &self.readers)
            .field("cache_kib", &self.cache_kib)
            .field("max_pages", &self.max_pages)
            .finish_non_exhaustive()
    }
}
