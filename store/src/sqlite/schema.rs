//! The tables, and how an older file becomes a current one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::failure::failed;
use crate::StoreError;

/// Each entry brings a file from the version of its index to the next one. Entries are never changed, only added.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];

/// How long a connection waits for a lock of SQLite's own, milliseconds. Only one process opens the file and only one
/// thread of it writes, so this covers moments such as the reset of the log.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Pages of 4 KiB in the write-ahead log at which it is copied into the file: 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_096;

/// The log is cut down to this many bytes after it was copied: 64 MiB.
const LOG_MAX_BYTES: i64 = 64 * 1024 * 1024;

/// Prepared statements that each connection keeps.
const STATEMENTS: usize = 64;

/// Opens the file for writing, makes or migrates the tables.
pub(super) fn open_writer(
    path: &Path,
    cache_kib: i64,
    max_pages: Option<u32>,
) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(failed)?;
    prepare(&connection, cache_kib).map_err(failed)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "{} cannot use a write-ahead log (mode {mode}): use a local file system",
            path.display()
        )));
    }
    migrate(&mut connection, path, MIGRATIONS)?;
    (|| {
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What a savepoint would restore stays in memory: at most the pages that one call touches.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_MAX_BYTES)?;
        // The body of a recalled message is overwritten, and not only unlinked, where that costs no further page.
        connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
        if let Some(pages) = max_pages {
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(())
    })()
    .map_err(failed)?;
    Ok(connection)
}

/// Opens the file for reading; it must have been opened for writing before.
pub(super) fn open_reader(path: &Path, cache_kib: i64) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection, cache_kib)?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Negative: KiB instead of pages.
    connection.pragma_update(None, "cache_size", -cache_kib)
}

/// Refuses a file of a newer program.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    version(connection, path, MIGRATIONS).map(drop)
}

/// The version that a file has, as far as it is known.
fn version(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<u64, StoreError> {
    let found: u64 = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map_err(failed)?
        .unsigned_abs();
    let known = migrations.len() as u64;
    if found > known {
        return Err(StoreError::Schema { place: path.display().to_string(), found, known });
    }
    Ok(found)
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let found = version(connection, path, migrations)?;
    for (version, migration) in (1_i64..).zip(migrations).skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(migration).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);";
    const SECOND: &str = "ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 2;";

    fn user_version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version")
    }

    #[test]
    fn an_older_file_becomes_a_current_one_step_by_step() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection, Path::new("x"), &[FIRST]).expect("version 1");
        migrate(&mut connection, Path::new("x"), &[FIRST, SECOND]).expect("version 2");
        migrate(&mut connection, Path::new("x"), &[FIRST, SECOND]).expect("nothing to do");
        assert_eq!(user_version(&connection), 2);
        let row: (i64, i64) = connection
            .query_row("SELECT a, b FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("one row");
        assert_eq!(row, (1, 2));
        let refused = migrate(&mut connection, Path::new("x"), &[FIRST]);
        assert!(matches!(refused, Err(StoreError::Schema { found: 2, known: 1, .. })));
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().expect("memory");
        let broken = "INSERT INTO t VALUES (5); CREATE TABLE t (a INTEGER);";
        assert!(migrate(&mut connection, Path::new("x"), &[FIRST, broken]).is_err());
        assert_eq!(user_version(&connection), 1);
        let rows: i64 =
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a count");
        assert_eq!(rows, 1);
    }
}
