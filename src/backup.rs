//! `phalanx backup` and `phalanx restore`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use boot::{BackupError, Shared};

/// How often a long copy says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

const FILE: &str = "store.sqlite";

/// Copies the data of the profile, and says how far it is.
///
/// # Errors
/// As [`boot::backup`].
pub(crate) fn backup(shared: &Shared, target: &Path) -> Result<(), BackupError> {
    let (done, ended) = mpsc::channel::<()>();
    let (from, to) = (shared.data_dir().join(FILE), boot::partial(target).join(FILE));
    let teller = thread::spawn(move || {
        while ended.recv_timeout(TELL_EVERY) == Err(RecvTimeoutError::Timeout) {
            eprintln!("copied {} of about {} MiB", mebibytes(&to), mebibytes(&from));
        }
    });
    let outcome = boot::backup(shared, target);
    drop(done);
    // It has nothing to answer.
    let _ = teller.join();
    outcome?;
    println!("{} MiB in {}", mebibytes(&target.join(FILE)), target.display());
    Ok(())
}

/// Brings a backup back.
///
/// # Errors
/// As [`boot::restore`].
pub(crate) fn restore(shared: &Shared, from: &Path) -> Result<(), BackupError> {
    boot::restore(shared, from)?;
    println!("{} is in {}; start the cluster", from.display(), shared.data_dir().display());
    Ok(())
}

fn mebibytes(file: &PathBuf) -> u64 {
    fs::metadata(file).map_or(0, |found| found.len()).div_ceil(1 << 20)
}
