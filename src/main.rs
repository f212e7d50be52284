//! One binary, every role.
//!
//! The life of the process: settings, a plan of the nodes, then the plan runs until it is asked to end.

mod cli;

use std::process::ExitCode;

use boot::{Plan, Tree};
use clap::Parser;
use wire::Role;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match start(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("phalanx: {error:#}");
            ExitCode::FAILURE
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
    let Some(command) = cli.command else {
        anyhow::bail!("nothing to do: say which role to run, or `all`; --help lists them");
    };
    let alone = tree.shared().cluster.embedded && command.roles().len() == 1;
    let plan = plan(tree, command)?;
    match command {
        Command::Nodes => print!("{}", plan.to_lines()),
        Command::CheckConfig => {
            println!("{}: {} nodes, every setting is in order", cli.settings.profile, plan.len())
        }
        _ if alone => anyhow::bail!(
            "the profile {} is embedded: its roster, store and relay live within one process. Run `phalanx all --profile {0}`",
            cli.settings.profile
        ),
        _ => tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(plan.run())?,
    }
    Ok(())
}

fn plan(tree: Tree, command: Command) -> anyhow::Result<Plan> {
    let mut plan = Plan::new(tree);
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
