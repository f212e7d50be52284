//! Each node of a profile as a process of its own.

use std::{ffi::OsString, path::Path, time::Duration};

use boot::{Kept, Plan, Stage, Supervisor};

use crate::cli::SuperviseArgs;

/// How long a server that is not ours may take to end.
const SERVER_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps the nodes of `plan` running until this process is asked to end.
///
/// # Errors
/// The directories of the profile cannot be written.
pub(crate) fn run(plan: &Plan, args: &SuperviseArgs, profiles: &Path) -> anyhow::Result<()> {
    let shared = plan.tree().shared();
    boot::install_logs(&shared.log)?;
    let common: [OsString; 6] = [
        "--profile".into(),
        plan.tree().profile().into(),
        "--profiles".into(),
        profiles.into(),
        "--end-with".into(),
        std::process::id().to_string().into(),
    ];
    let mut kept = plan.to_kept(&std::env::current_exe()?, &common);
    kept.extend(args.beside.iter().map(|(name, command)| Kept {
        name: name.clone(),
        stage: Stage::Servers,
        command: vec!["sh".into(), "-c".into(), format!("exec {command}").into()],
        stop_timeout: SERVER_STOP_TIMEOUT,
    }));
    let data = shared.data_dir();
    let supervisor = Supervisor { kept, logs: data.join("log"), table: data.join("run").join("processes") };
    // One thread, because children end with the thread that started them.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(supervisor.run())
}
