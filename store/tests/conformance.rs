//! The suite, run against SQLite.

use async_trait::async_trait;
use store::{SqliteOptions, SqliteStore, conformance::Place};
use tempfile::TempDir;

struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }
}

#[async_trait]
impl Place for Directory {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.0.path(), SqliteOptions::default()).expect("the store opens")
    }
}

store::conformance!(Directory::new());
