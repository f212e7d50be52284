//! The command line.

use std::{num::NonZeroU32, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use wire::Role;

/// A cluster that holds very many socket.io connections and moves messages between them without losing one.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Print the settings of the profile as TOML, secrets masked, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const AFTER_HELP: &str = "Every setting is documented in profiles/default/. The environment overrides it: \
PHALANX__SPEAR__LIMITS__BODY_BYTES=1024.\nSIGTERM or Ctrl-C drains and exits with 0; a second one exits at once. \
A node whose place a newer start has taken exits with 3.";

/// Where the settings come from.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// The profile: a directory beside profiles/default.
    #[arg(long, global = true, default_value = "test1", value_name = "NAME")]
    pub(crate) profile: String,
    /// The directory that holds the profiles. Default: ./profiles, else the one beside the source of this binary.
    #[arg(long, global = true, env = "PHALANX_PROFILES", value_name = "DIR")]
    pub(crate) profiles: Option<PathBuf>,
}

/// Which instances of a role run in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct InstanceArgs {
    /// Only this instance of the role, counted from 1 as ids are. Default: all of them in this process.
    #[arg(long, value_name = "N")]
    pub(crate) instance: Option<NonZeroU32>,
    /// Drain when the process with this id ends: the one that started this one.
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) end_with: Option<NonZeroU32>,
}

/// What is to be kept running.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SuperviseArgs {
    /// Only these roles. Default: all.
    #[arg(value_name = "ROLE")]
    pub(crate) only: Vec<Role>,
    /// Keep this running too, a line of sh, started before the nodes and ended after them; may be repeated.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = beside)]
    pub(crate) beside: Vec<(String, String)>,
}

fn beside(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && !command.is_empty() => Ok((name.into(), command.into())),
        _ => Err("expected NAME=COMMAND".into()),
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Run every role of the profile in this process.
    All,
    /// Run idgen: message ids.
    Idgen(InstanceArgs),
    /// Run stat: gathers the nodes' state, answers back ends.
    Stat(InstanceArgs),
    /// Run spear: holds the connections.
    Spear(InstanceArgs),
    /// Run ticket: checks tokens, assigns spears.
    Ticket(InstanceArgs),
    /// Run minions-ui: the web monitor.
    MinionsUi(InstanceArgs),
    /// Run each node of the profile as a process of its own, and start one that dies again.
    Supervise(SuperviseArgs),
    /// Check the settings of the profile, and say what is wrong with them.
    CheckConfig,
    /// Copy what the embedded cluster of the profile keeps into a new directory, also while it runs.
    Backup {
        /// The directory to be made. It appears when the copy is whole.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Bring a backup into the data directory of the profile, which must hold no data.
    Restore {
        /// The directory that `backup` has made.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// List the nodes of the profile: role, id, public URL, admin URL, separated by tabs.
    Nodes,
}

impl Command {
    /// The roles that it runs or looks at.
    pub(crate) fn roles(&self) -> Vec<Role> {
        match self {
            Self::All | Self::CheckConfig | Self::Nodes => Role::ALL.to_vec(),
            Self::Supervise(args) if args.only.is_empty() => Role::ALL.to_vec(),
            Self::Supervise(args) => args.only.clone(),
            Self::Idgen(_) => vec![Role::Idgen],
            Self::Stat(_) => vec![Role::Stat],
            Self::Spear(_) => vec![Role::Spear],
            Self::Ticket(_) => vec![Role::Ticket],
            Self::MinionsUi(_) => vec![Role::MinionsUi],
            Self::Backup { .. } | Self::Restore { .. } => Vec::new(),
        }
    }

    /// Which instances, where it runs one role.
    pub(crate) fn instance(&self) -> Option<&InstanceArgs> {
        match self {
            Self::Idgen(args)
            | Self::Stat(args)
            | Self::Spear(args)
            | Self::Ticket(args)
            | Self::MinionsUi(args) => Some(args),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_offers_every_role() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for role in Role::ALL {
            assert!(help.contains(&format!("  {role} ")), "{role} is missing in\n{help}");
        }
    }
}
