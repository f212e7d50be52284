//! One process: started, waited for, started again after a pause.

use std::{
    fs::File,
    io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{EXIT_SUPERSEDED, Kept, table::Table};
use crate::patience;

/// The pause before a process is started again, at first and at most; jitter up to doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A process that ran for so long died of something new: the pauses begin anew.
const STEADY: Duration = Duration::from_secs(20);

/// A process that ran for so long and ended with 0 was asked to, by somebody who wants it started anew: no pause grows from that.
const SETTLED: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    pub(super) kept: Kept,
    pub(super) log: PathBuf,
    pub(super) table: Table,
    /// Asks the process to end, and keeps it from being started again.
    pub(super) stop: CancellationToken,
    /// Ends it at once.
    pub(super) kill: CancellationToken,
}

impl Keeper {
    pub(super) async fn run(self) {
        let name = &self.kept.name;
        let mut pauses = patience::backoff(FIRST_PAUSE, LONGEST_PAUSE);
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let mut asked = false;
            let how = match self.spawn() {
                Ok(child) => {
                    self.table.runs(name, child.id().unwrap_or_default());
                    match self.wait(child).await {
                        Some(status) if status.code() == Some(i32::from(EXIT_SUPERSEDED)) => {
                            tracing::warn!(
                                name,
                                "a newer start of this node runs elsewhere: it is left alone"
                            );
                            self.table.ended(name, "a newer start of it runs elsewhere");
                            return self.stop.cancelled().await;
                        }
                        Some(status) => {
                            asked = status.success() && began.elapsed() >= SETTLED;
                            describe(status)
                        }
                        None => break,
                    }
                }
                Err(error) => format!("cannot be started: {error}"),
            };
            if asked || began.elapsed() >= STEADY {
                pauses = patience::backoff(FIRST_PAUSE, LONGEST_PAUSE);
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            if asked {
                tracing::info!(name, how, ?pause, "a process was asked to end; it is started again");
            } else {
                tracing::warn!(name, how, ?pause, log = %self.log.display(), "a process has ended; it is started again");
            }
            self.table.waits(name, &format!("{how}; started again after {:.1} s", pause.as_secs_f64()));
            self.stop.run_until_cancelled(time::sleep(pause)).await;
        }
        self.table.ended(name, "asked to end");
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let (program, arguments) =
            self.kept.command.split_first().ok_or_else(|| io::Error::other("there is no command"))?;
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C reaches the supervisor only, which ends them in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Waits until the process ends: by itself, and says how; or asked to, which answers nothing.
    async fn wait(&self, mut child: Child) -> Option<ExitStatus> {
        tokio::select! {
            status = child.wait() => return status.ok().or(Some(ExitStatus::from_raw(0))),
            () = self.stop.cancelled() => {}
        }
        ask_to_end(&child);
        tokio::select! {
            _ = child.wait() => {}
            () = self.kill.cancelled() => self.kill(&mut child, "asked twice").await,
            () = time::sleep(self.kept.stop_timeout) => self.kill(&mut child, "it did not end in time").await,
        }
        None
    }

    async fn kill(&self, child: &mut Child, why: &str) {
        tracing::warn!(name = self.kept.name, why, "killing a process");
        if let Err(error) = child.kill().await {
            tracing::error!(name = self.kept.name, %error, "a process cannot be killed");
        }
    }
}

fn ask_to_end(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    // One that has ended meanwhile needs no asking.
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
