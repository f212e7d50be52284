//! The command line.

use std::path::PathBuf;

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
PHALANX__SPEAR__LIMITS__BODY_BYTES=1024.\nSIGTERM or Ctrl-C drains and exits with 0; a second one exits at once.";

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

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Run every role of the profile in this process.
    All,
    /// Run idgen: message ids.
    Idgen,
    /// Run stat: gathers the nodes' state, answers back ends.
    Stat,
    /// Run spear: holds the connections.
    Spear,
    /// Run ticket: checks tokens, assigns spears.
    Ticket,
    /// Run minions-ui: the web monitor.
    MinionsUi,
    /// Check the settings of the profile, and say what is wrong with them.
    CheckConfig,
    /// List the nodes of the profile: role, id, public URL, admin URL, separated by tabs.
    Nodes,
}

impl Command {
    /// The roles that it runs or looks at.
    pub(crate) fn roles(self) -> Vec<Role> {
        match self {
            Self::All | Self::CheckConfig | Self::Nodes => Role::ALL.to_vec(),
            Self::Idgen => vec![Role::Idgen],
            Self::Stat => vec![Role::Stat],
            Self::Spear => vec![Role::Spear],
            Self::Ticket => vec![Role::Ticket],
            Self::MinionsUi => vec![Role::MinionsUi],
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
