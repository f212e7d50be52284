//! How the processes are, in a file for people and scripts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use parking_lot::Mutex;

use crate::durable_file;

/// One line a process: name, `up`, `waiting` or `ended`, process id (0: none), how often it was started again, and what there
/// is to say; separated by tabs.
#[derive(Clone)]
pub(super) struct Table(Arc<Inner>);

struct Inner {
    path: PathBuf,
    rows: Mutex<BTreeMap<String, Row>>,
}

struct Row {
    state: &'static str,
    pid: u32,
    starts: u32,
    detail: String,
}

impl Table {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        let table = Self(Arc::new(Inner { path: path.to_owned(), rows: Mutex::default() }));
        durable_file::replace(path, b"").with_context(|| path.display().to_string())?;
        Ok(table)
    }

    pub(super) fn runs(&self, name: &str, pid: u32) {
        self.change(name, |row| {
            row.state = "up";
            row.pid = pid;
            row.starts += 1;
        });
    }

    pub(super) fn waits(&self, name: &str, detail: &str) {
        self.change(name, |row| *row = Row { state: "waiting", pid: 0, detail: detail.into(), ..*row });
    }

    pub(super) fn ended(&self, name: &str, detail: &str) {
        self.change(name, |row| *row = Row { state: "ended", pid: 0, detail: detail.into(), ..*row });
    }

    pub(super) fn remove(&self) {
        let _rows = self.0.rows.lock();
        if let Err(error) = fs::remove_file(&self.0.path) {
            tracing::warn!(path = %self.0.path.display(), %error, "a file stays behind");
        }
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Row)) {
        let mut rows = self.0.rows.lock();
        let new = || Row { state: "waiting", pid: 0, starts: 0, detail: String::new() };
        change(rows.entry(name.to_owned()).or_insert_with(new));
        let line = |(name, row): (&String, &Row)| {
            let again = row.starts.saturating_sub(1);
            format!("{name}\t{}\t{}\t{again}\t{}\n", row.state, row.pid, row.detail)
        };
        let text: String = rows.iter().map(line).collect();
        // Under the lock: otherwise an older text could come last.
        if let Err(error) = durable_file::replace(&self.0.path, text.as_bytes()) {
            tracing::warn!(path = %self.0.path.display(), %error, "the state of the processes cannot be shown");
        }
    }
}
