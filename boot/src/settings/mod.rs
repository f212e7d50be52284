//! Settings: default profile, profile and environment as one tree that remembers where each value stands.
//!
//! | file | what |
//! |---|---|
//! | `tree.rs` | [`Tree`]: the layers, and what a role instance gets of them |
//! | `profile.rs` | the files of a profile: which there are, and that each holds its own tables |
//! | `environment.rs` | `PHALANX__SECTION__KEY=value` |
//! | `pattern.rs` | `spear-++` and `30001++`: one text for many instances |
//! | `shared.rs` | [`Shared`]: the tables of `cluster.toml` |
//! | `servers.rs` | its tables about ZooKeeper and Redis |
//! | `jwt.rs` | its table about the users' tokens |
//! | `before_send.rs` | its table about who judges messages |
//! | `node.rs` | [`NodeSettings`]: the keys that every role has |
//! | `mask.rs` | the tree for people, secrets masked |
//! | `error.rs` | [`SettingsError`] |

mod before_send;
mod environment;
mod error;
mod jwt;
mod mask;
mod node;
mod pattern;
mod profile;
mod servers;
mod shared;
mod tree;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use before_send::{BeforeSendSettings, OnFailure, SharedWebhooks};
pub use error::SettingsError;
pub use jwt::JwtSettings;
pub use node::{AdminSettings, NodeSettings};
pub use servers::{RedisMode, RedisSettings, RedisTlsSettings, ZooKeeperSettings};
pub use shared::{
    ClusterSettings, InstanceSettings, LogFormat, LogSettings, OnZooKeeperLoss, RelaySettings,
    RetentionSettings, RosterKind, RosterSettings, Shared, StoreKind, StoreSettings,
};
pub use tree::Tree;
pub(crate) use tree::table;

pub use crate::relays::{Brokers, RelayKind};

/// The settings of the first instance of a role, by the name of its table: `load::<Settings>(&tree, "spear")`.
///
/// # Errors
/// [`SettingsError`] names file, key and what was expected.
pub fn load<S: DeserializeOwned>(tree: &Tree, role: &str) -> Result<S, SettingsError> {
    let role = role.parse().map_err(|error: wire::UnknownRole| SettingsError::plain(error.to_string()))?;
    tree.role(role, 0)
}

/// Where the profiles are: `given`, else `./profiles`, else beside the place that the binary was built in.
pub fn profiles_dir(given: Option<PathBuf>) -> PathBuf {
    let here = PathBuf::from("profiles");
    let chosen = given.unwrap_or_else(|| match here.is_dir() {
        true => here.clone(),
        false => beside_binary().unwrap_or(here),
    });
    // Absolute, so that messages name files that can be opened from anywhere.
    std::path::absolute(&chosen).unwrap_or(chosen)
}

/// `target/<cargo profile>/phalanx` stands three levels below the root of the repository.
fn beside_binary() -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?.canonicalize().ok()?;
    let found = binary.ancestors().skip(1).take(3).map(|directory: &Path| directory.join("profiles"));
    found.into_iter().find(|profiles| profiles.join("default").is_dir())
}
