//! Persistent nodes in `roster.db`.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::Mutex;

use crate::{
    RosterError, Version,
    path::{check_data, check_path, parents},
};

/// The file's name in the roster's directory.
const FILE_NAME: &str = "roster.db";

/// The version of the tables below; a file with a greater one was written by a newer build.
const SCHEMA_VERSION: i64 = 1;

/// How long opening waits for a process that is just ending.
const OPEN_WAIT: Duration = Duration::from_millis(500);

/// One connection, used by one blocking task at a time. Those who wait are served in their order.
#[derive(Debug, Clone)]
pub(super) struct Records {
    connection: Arc<Mutex<Connection>>,
}

impl Records {
    pub(super) async fn open(directory: &Path) -> Result<Self, RosterError> {
        let directory = directory.to_owned();
        let connection = blocking(move || open(&directory)).await?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, RosterError> {
        check_path(path)?;
        let path = path.to_owned();
        self.run(move |connection| {
            connection
                .prepare_cached("SELECT data, version FROM nodes WHERE path = ?1")?
                .query_row([path], |row| Ok((row.get(0)?, Version(row.get(1)?))))
                .optional()
        })
        .await
    }

    pub(super) async fn create(&self, path: &str, data: &[u8]) -> Result<Version, RosterError> {
        check_path(path)?;
        check_data(data)?;
        let (owned, data) = (path.to_owned(), data.to_vec());
        let created = self
            .run(move |connection| {
                let transaction = connection.transaction()?;
                {
                    let mut insert = transaction.prepare_cached(
                        "INSERT INTO nodes (path, data, version) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING",
                    )?;
                    for parent in parents(&owned) {
                        insert.execute(params![parent, [0_u8; 0]])?;
                    }
                    if insert.execute(params![owned, data])? == 0 {
                        return Ok(false);
                    }
                }
                transaction.commit()?;
                Ok(true)
            })
            .await?;
        if created { Ok(Version(0)) } else { Err(RosterError::Exists(path.to_owned())) }
    }

    pub(super) async fn write(
        &self,
        path: &str,
        data: &[u8],
        expected: Version,
    ) -> Result<Version, RosterError> {
        check_path(path)?;
        check_data(data)?;
        let (owned, data) = (path.to_owned(), data.to_vec());
        let written = self
            .run(move |connection| {
                let changed = connection
                    .prepare_cached(
                        "UPDATE nodes SET data = ?2, version = version + 1 WHERE path = ?1 AND version = ?3",
                    )?
                    .execute(params![owned, data, expected.0])?;
                Ok(changed == 1)
            })
            .await?;
        if written {
            Ok(Version(expected.0 + 1))
        } else {
            Err(RosterError::Conflict { path: path.to_owned(), expected })
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RosterError> {
        let mut connection = self.connection.clone().lock_owned().await;
        blocking(move || {
            work(&mut connection).map_err(|error| RosterError::Unavailable(format!("{FILE_NAME}: {error}")))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RosterError> + Send + 'static,
) -> Result<T, RosterError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(RosterError::Unavailable(format!("its thread stopped: {error}"))))
}

fn open(directory: &Path) -> Result<Connection, RosterError> {
    let file = directory.join(FILE_NAME);
    let failed = |reason: String| RosterError::Unavailable(format!("{}: {reason}", file.display()));
    std::fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
    let connection = connect(&file).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => {
            failed("another process has it open: stop it, or use another data directory".into())
        }
        _ => failed(error.to_string()),
    })?;
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| failed(error.to_string()))?;
    if version > SCHEMA_VERSION {
        return Err(failed(format!(
            "a newer build wrote it (schema {version}, this build knows {SCHEMA_VERSION}): start that build"
        )));
    }
    connection
        .execute_batch(&format!(
            "BEGIN;
             CREATE TABLE IF NOT EXISTS nodes (
                 path TEXT PRIMARY KEY NOT NULL,
                 data BLOB NOT NULL,
                 version INTEGER NOT NULL
             ) STRICT;
             PRAGMA user_version = {SCHEMA_VERSION};
             COMMIT;"
        ))
        .map_err(|error| failed(error.to_string()))?;
    Ok(connection)
}

/// Exclusive from the first access on: members and elections live in one process, so a second one must not start.
fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(OPEN_WAIT)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Taking the write lock now makes a second process fail here, and not in the middle of its work.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")?;
    Ok(connection)
}
