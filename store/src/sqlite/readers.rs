//! A few connections that only read, used on blocking threads.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{failure::failed, schema};
use crate::StoreError;

/// How long a read waits for a connection, milliseconds; then it is refused.
const WAIT_MS: u64 = 10_000;

pub(super) struct Readers {
    path: PathBuf,
    cache_kib: i64,
    free: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// At most `count` reads at a time; others wait for their turn.
    pub(super) fn new(path: PathBuf, count: usize, cache_kib: i64) -> Self {
        let idle = Arc::new(Mutex::new(Vec::with_capacity(count)));
        Self { path, cache_kib, free: Arc::new(Semaphore::new(count)), idle }
    }

    /// Closes the connections that are not in use.
    pub(super) fn close_idle(&self) {
        self.idle.lock().clear();
    }

    /// Reads within one snapshot: everything that was committed before, nothing that is committed meanwhile.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let wait = tokio::time::timeout(Duration::from_millis(WAIT_MS), self.free.clone().acquire_owned());
        let Ok(Ok(turn)) = wait.await else {
            return Err(StoreError::Unavailable("too many reads are waiting; try again".into()));
        };
        let (idle, path, cache_kib) = (self.idle.clone(), self.path.clone(), self.cache_kib);
        let blocking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let connection = idle.lock().pop();
            let connection = connection.map_or_else(|| schema::open_reader(&path, cache_kib), Ok)?;
            let outcome = snapshot(&connection, read);
            if connection.is_autocommit() {
                idle.lock().push(connection);
            }
            outcome
        });
        match blocking.await {
            Ok(outcome) => outcome.map_err(failed),
            Err(error) => Err(StoreError::Unavailable(format!("a read did not finish: {error}"))),
        }
    }
}

fn snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let outcome = read(connection);
    connection.prepare_cached("COMMIT")?.execute([])?;
    outcome
}
