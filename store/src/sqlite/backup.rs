//! Copies of the file: made beside a process that uses it, checked, and brought back.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{FILE, SqliteStore, failure::failed, lock, schema, unavailable};
use crate::StoreError;

/// KiB of pages that a copy keeps in memory.
const CACHE_KIB: i64 = 16 << 10;

impl SqliteStore {
    /// Copies the store in `dir` into the directory `to`, also while a process uses it: everything that had been acknowledged before
    /// this began, nothing half. Blocks; sends go on meanwhile, but the log beside the file grows until it is done.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where a file cannot be read or written, or `to` holds one already; [`StoreError::Corrupt`]
    /// where the copy is no whole store.
    pub fn copy(dir: &Path, to: &Path) -> Result<(), StoreError> {
        let from = schema::open_reader(&dir.join(FILE), CACHE_KIB).map_err(failed)?;
        let copy = to.join(FILE);
        let target = copy.to_string_lossy();
        from.execute("VACUUM INTO ?1", [&target]).map_err(failed)?;
        sync(&copy)?;
        check(&copy)
    }
}

/// A whole copy, which this program can read.
#[derive(Debug)]
pub struct StoreCopy {
    file: PathBuf,
}

impl StoreCopy {
    /// The copy in a directory. Blocks while all of it is looked at.
    ///
    /// # Errors
    /// As [`SqliteStore::copy`], and [`StoreError::Schema`] where it is of a newer program.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        check(&file)?;
        Ok(Self { file })
    }

    /// Brings it into `dir`, which no process may use.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where one does, [`StoreError::Unavailable`] where a file cannot be read or written, or there is a store.
    pub fn bring_back(&self, dir: &Path) -> Result<(), StoreError> {
        let _lock = lock(dir)?;
        let file = dir.join(FILE);
        if file.exists() {
            return Err(StoreError::Unavailable(format!("{} is in the way", file.display())));
        }
        // Whole, or not there: a store that is half copied would be taken for one.
        let partial = dir.join(format!("{FILE}.partial"));
        fs::copy(&self.file, &partial).map_err(|error| unavailable(&partial, &error))?;
        sync(&partial)?;
        fs::rename(&partial, &file).map_err(|error| unavailable(&file, &error))?;
        sync(dir)
    }
}

fn check(file: &Path) -> Result<(), StoreError> {
    if !file.exists() {
        return Err(StoreError::Unavailable(format!("{} does not exist", file.display())));
    }
    let connection = schema::open_reader(file, CACHE_KIB).map_err(failed)?;
    schema::check_version(&connection, file)?;
    match quick_check(&connection).map_err(failed)?.as_str() {
        "ok" => Ok(()),
        found => Err(StoreError::Corrupt(format!("{}: {found}", file.display()))),
    }
}

fn quick_check(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| unavailable(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SqliteOptions,
        conformance::support::{append, direct, everything, page, seqs, to_user},
    };

    fn bring_back(from: &Path, dir: &Path) -> Result<(), StoreError> {
        StoreCopy::open(from)?.bring_back(dir)
    }

    fn open(dir: &Path) -> SqliteStore {
        SqliteStore::open(dir, SqliteOptions::default()).expect("it opens")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_holds_what_was_acknowledged_while_others_write() {
        let (dir, to, back) = (dir(), dir(), dir());
        let store = open(dir.path());
        for _ in 0..20 {
            append(&store, to_user("a", "b")).await;
        }
        let writes = async {
            for _ in 0..50 {
                append(&store, to_user("a", "b")).await;
            }
        };
        let (from, into) = (dir.path().to_owned(), to.path().to_owned());
        let copies = tokio::task::spawn_blocking(move || SqliteStore::copy(&from, &into));
        let ((), copied) = tokio::join!(writes, copies);
        copied.expect("it ran").expect("it was copied");
        append(&store, to_user("a", "b")).await;

        bring_back(to.path(), back.path()).expect("it is brought back");
        let restored = open(back.path());
        let left = page(&restored, everything(&direct("a", "b"))).await;
        assert!((20..=70).contains(&left.last_seq), "{}", left.last_seq);
        assert_eq!(seqs(&left.messages), (1..=left.last_seq).collect::<Vec<_>>());
        let next = append(&restored, to_user("a", "b")).await.message.seq;
        assert_eq!(next, left.last_seq + 1);
    }

    #[test]
    fn what_is_no_store_is_refused_and_nothing_is_overwritten() {
        let (dir, to, other) = (dir(), dir(), dir());
        let none = SqliteStore::copy(dir.path(), to.path());
        assert!(matches!(none, Err(StoreError::Unavailable(_))), "{none:?}");
        drop(open(dir.path()));
        SqliteStore::copy(dir.path(), to.path()).expect("it was copied");
        let again = SqliteStore::copy(dir.path(), to.path());
        assert!(again.is_err(), "{again:?}");
        let over = bring_back(to.path(), dir.path());
        assert!(
            matches!(&over, Err(StoreError::Unavailable(text)) if text.contains("in the way")),
            "{over:?}"
        );

        let used = open(other.path());
        let locked = bring_back(to.path(), other.path());
        assert!(matches!(locked, Err(StoreError::Locked(_))), "{locked:?}");
        drop(used);

        let copy = to.path().join(FILE);
        let mut bytes = fs::read(&copy).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4_000].fill(0xaa);
        fs::write(&copy, bytes).expect("it is written");
        let back = self::dir();
        let broken = bring_back(to.path(), back.path());
        assert!(broken.is_err(), "{broken:?}");
        assert!(!back.path().join(FILE).exists());
    }

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }
}
