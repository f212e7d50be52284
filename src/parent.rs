//! Ending together with the process that started this one.

use std::num::NonZeroU32;

use anyhow::Context;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Asks the system to send SIGTERM to this process when the process `pid`, its parent, ends.
///
/// # Errors
/// It has ended already, or the system refuses.
pub(crate) fn end_with(pid: NonZeroU32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot follow the parent process")?;
    // It may have ended before the system was asked.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get());
    anyhow::ensure!(
        parent == i32::try_from(pid.get()).ok(),
        "the process {pid} that started this one has ended"
    );
    Ok(())
}
