//! Keeps processes running: each node of a profile as a process of its own, on one host.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Supervisor`]: starts all, waits for a signal, ends all in order |
//! | `keeper.rs` | one process: started, waited for, started again after a pause |
//! | `table.rs` | what `bin/status.sh` reads: which process runs, since when, how often it was started again |
//!
//! A process that died is started again after 0.2 to 0.4 s, then twice as long each time, up to half a minute; one that ran for 20 s, or was asked
//! to end and did so with 0, begins anew: that is how a node is restarted, with the binary that is there then. One that says
//! that a newer start of its node is registered is left alone: somebody else runs it.

mod keeper;
mod table;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::plan::Signals;
use keeper::Keeper;
use table::Table;

/// How a node ends whose place was taken by a newer start: starting it again would only take the place back.
pub const EXIT_SUPERSEDED: u8 = 3;

/// When a process is asked to end: the stages one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What clients hold on to.
    Doors,
    /// What the doors need to the end of their drain.
    Behind,
    /// What all nodes need: servers that are not ours.
    Servers,
}

/// A process that is to be kept running.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What it is called: the node's id.
    pub name: String,
    /// When it ends.
    pub stage: Stage,
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// How long it may take to end; then it is killed.
    pub stop_timeout: Duration,
}

/// Keeps processes running until it is asked to end. Run it on a runtime of one thread: its children ask the system to be
/// ended with the thread that started them.
#[derive(Debug)]
pub struct Supervisor {
    /// What to keep.
    pub kept: Vec<Kept>,
    /// Where each process gets a log, `NAME.log`.
    pub logs: PathBuf,
    /// The file that shows how they are.
    pub table: PathBuf,
}

impl Supervisor {
    /// Starts all, waits for SIGTERM or SIGINT, and ends all, stage by stage. A second signal kills what is left.
    ///
    /// # Errors
    /// The directories cannot be written.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut signals = Signals::install()?;
        std::fs::create_dir_all(&self.logs).with_context(|| self.logs.display().to_string())?;
        let table = Table::create(&self.table)?;
        let kill = CancellationToken::new();
        let mut stages: Vec<(Stage, CancellationToken, JoinSet<()>)> =
            [Stage::Doors, Stage::Behind, Stage::Servers]
                .map(|stage| (stage, CancellationToken::new(), JoinSet::new()))
                .into();
        tracing::info!(processes = self.kept.len(), "keeping processes");
        // Servers first, so that the nodes seldom wait for them.
        for (stage, stop, keepers) in stages.iter_mut().rev() {
            for kept in self.kept.iter().filter(|kept| kept.stage == *stage) {
                let keeper = Keeper {
                    log: self.logs.join(format!("{}.log", kept.name)),
                    kept: kept.clone(),
                    table: table.clone(),
                    stop: stop.clone(),
                    kill: kill.clone(),
                };
                keepers.spawn(keeper.run());
            }
        }
        let signal = signals.next().await;
        tracing::info!(signal, "ending");
        let ending = async {
            for (_, stop, keepers) in &mut stages {
                stop.cancel();
                while keepers.join_next().await.is_some() {}
            }
        };
        tokio::pin!(ending);
        loop {
            tokio::select! {
                () = &mut ending => break,
                _ = signals.next() => {
                    tracing::warn!("asked twice: killing what is left");
                    kill.cancel();
                }
            }
        }
        table.remove();
        tracing::info!("ended");
        Ok(())
    }
}
