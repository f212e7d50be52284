//! Copies what an embedded cluster keeps, while it runs, and brings it back.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use store::{SqliteStore, StoreCopy, StoreError};

use crate::settings::{Shared, StoreKind};

/// What the cluster has made for itself, beside the store. Its roster is not among them: it holds nothing that lasts.
const KEYS: [&str; 3] = ["cluster.secret", "ticket.key", "token.key"];

/// Why there is no backup, or why it could not be brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The profile keeps nothing here.
    #[error(
        "store.kind is \"redis\": the servers of [redis] have it all; docs/deployment.md says how to copy it from there"
    )]
    Elsewhere,
    /// It would have been overwritten.
    #[error("{0} exists: move it away first, or name another directory")]
    InTheWay(PathBuf),
    /// A file could not be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The store could not be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a backup is written before it is whole.
pub fn partial(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Copies the data of the profile into `target`, a directory that does not exist yet: it appears when everything is in it. Blocks.
///
/// # Errors
/// [`BackupError`]; then what was copied so far is in [`partial`], which the next attempt removes.
pub fn backup(shared: &Shared, target: &Path) -> Result<(), BackupError> {
    let data_dir = data_dir(shared)?;
    if target.exists() {
        return Err(BackupError::InTheWay(target.to_owned()));
    }
    let partial = partial(target);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    // Keys lie in it.
    DirBuilder::new().recursive(true).mode(0o700).create(&partial).map_err(at(&partial))?;
    SqliteStore::copy(&data_dir, &partial)?;
    copy_keys(&data_dir, &partial)?;
    fs::rename(&partial, target).map_err(at(target))?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(parent)
}

/// Brings a backup into the profile's data directory, where there is no data.
///
/// # Errors
/// [`BackupError`]; nothing that was there is changed.
pub fn restore(shared: &Shared, from: &Path) -> Result<(), BackupError> {
    let data_dir = data_dir(shared)?;
    for name in KEYS.into_iter().chain(["store.sqlite"]) {
        let file = data_dir.join(name);
        if file.exists() {
            return Err(BackupError::InTheWay(file));
        }
    }
    // Before anything is written, or what a broken backup leaves behind would be in the way of the next one.
    let store = StoreCopy::open(from)?;
    // With the store the cluster has data: last.
    fs::create_dir_all(&data_dir).map_err(at(&data_dir))?;
    copy_keys(from, &data_dir)?;
    Ok(store.bring_back(&data_dir)?)
}

fn data_dir(shared: &Shared) -> Result<PathBuf, BackupError> {
    match shared.store.kind {
        StoreKind::Sqlite => Ok(shared.data_dir()),
        StoreKind::Redis => Err(BackupError::Elsewhere),
    }
}

/// Those that there are; with their modes.
fn copy_keys(from: &Path, to: &Path) -> Result<(), BackupError> {
    for name in KEYS {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() {
            fs::copy(&from, &to).map_err(at(&to))?;
            sync(&to)?;
        }
    }
    sync(to)
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::File { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use store::SqliteOptions;

    use super::*;

    fn shared(dir: &Path) -> Shared {
        Shared::embedded_in(dir)
    }

    #[test]
    fn keys_and_store_come_back_and_nothing_is_overwritten() {
        let place = tempfile::tempdir().expect("a directory");
        let (data, target, fresh) =
            ["data", "copies/today", "fresh"].map(|name| place.path().join(name)).into();
        drop(SqliteStore::open(&data, SqliteOptions::default()).expect("it opens"));
        fs::write(data.join("ticket.key"), "a key").expect("written");
        fs::set_permissions(data.join("ticket.key"), fs::Permissions::from_mode(0o600)).expect("set");
        // As an attempt leaves it that was interrupted.
        fs::create_dir_all(partial(&target)).expect("made");
        fs::write(partial(&target).join("store.sqlite"), "half").expect("written");

        backup(&shared(&data), &target).expect("it is copied");
        assert!(!partial(&target).exists());
        let again = backup(&shared(&data), &target);
        assert!(matches!(again, Err(BackupError::InTheWay(path)) if path == target));

        restore(&shared(&fresh), &target).expect("it is brought back");
        let key = fresh.join("ticket.key");
        assert_eq!(fs::read_to_string(&key).expect("there"), "a key");
        assert_eq!(fs::metadata(&key).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&target).expect("there").permissions().mode() & 0o777, 0o700);
        drop(SqliteStore::open(&fresh, SqliteOptions::default()).expect("it is a store"));
        let over = restore(&shared(&data), &target);
        assert!(matches!(over, Err(BackupError::InTheWay(path)) if path == data.join("ticket.key")));
    }

    #[test]
    fn what_is_in_redis_is_not_copied_here() {
        let mut shared = shared(Path::new("data"));
        shared.store.kind = StoreKind::Redis;
        let refused = backup(&shared, Path::new("copy"));
        assert!(matches!(refused, Err(BackupError::Elsewhere)), "{refused:?}");
    }
}
