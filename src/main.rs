//! One binary, every role.
//!
//! The life of the process: settings, a plan of the nodes, then the plan runs until it is asked to end.

mod backup;
mod cli;
mod parent;
mod supervise;

use std::process::ExitCode;

use boot::{Plan, Superseded, Tree};
use clap::Parser;
use tikv_jemallocator::Jemalloc;
use wire::Role;

use crate::cli::{Cli, Command};

/// glibc's keeps what a burst took: of 300 MB that 1,000 clients left behind who did not read, it gave back 10 (docs/performance.md).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match start(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("phalanx: {error:#}");
            if error.is::<Superseded>() { boot::EXIT_SUPERSEDED.into() } else { ExitCode::FAILURE }
        }
    }
}

fn start(cli: &Cli) -> anyhow::Result<()> {
    let profiles = boot::profiles_dir(cli.settings.profiles.clone());
    let tree = Tree::load(&profiles, &cli.settings.profile, std::env::vars())?;
    if cli.print_config {
        print!("{}", tree.to_toml()?);
        return Ok(());
    }
    let Some(command) = &cli.command else {
        anyhow::bail!("nothing to do: say which role to run, or `all`; --help lists them");
    };
    let profile = &cli.settings.profile;
    let embedded = tree.shared().cluster.embedded;
    let plan = plan(tree, command)?;
    match command {
        Command::Nodes => print!("{}", plan.to_lines()),
        Command::CheckConfig => println!("{profile}: {} nodes, every setting is in order", plan.len()),
        Command::All => run(plan)?,
        Command::Backup { directory } => backup::backup(plan.tree().shared(), directory)?,
        Command::Restore { directory } => backup::restore(plan.tree().shared(), directory)?,
        _ if embedded => anyhow::bail!(
            "the profile {profile} is embedded: its roster, store and relay live within one process. Run `phalanx all --profile {profile}`"
        ),
        Command::Supervise(args) => supervise::run(&plan, args, &profiles)?,
        _ => {
            if let Some(pid) = command.instance().and_then(|args| args.end_with) {
                parent::end_with(pid)?;
            }
            run(plan)?;
        }
    }
    Ok(())
}

fn run(plan: Plan) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(plan.run())
}

fn plan(tree: Tree, command: &Command) -> anyhow::Result<Plan> {
    let mut plan = Plan::new(tree, command.instance().and_then(|args| args.instance))?;
    for role in command.roles() {
        match role {
            Role::Idgen => plan.add(role, idgen::run)?,
            Role::Stat => plan.add(role, stat::run)?,
            Role::Spear => plan.add(role, spear::run)?,
            Role::Ticket => plan.add(role, ticket::run)?,
            Role::MinionsUi => plan.add(role, minions_ui::run)?,
        }
    }
    Ok(plan)
}
