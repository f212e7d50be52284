//! Who takes part in the cluster.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Serves message ids.
    Idgen,
    /// Gathers state, answers back ends.
    Stat,
    /// Holds connections.
    Spear,
    /// Checks tokens, assigns spears.
    Ticket,
    /// The web monitor.
    MinionsUi,
}

impl Role {
    /// All roles, in the order in which they start.
    pub const ALL: [Self; 5] = [Self::Idgen, Self::Stat, Self::Spear, Self::Ticket, Self::MinionsUi];

    /// As it stands in paths, settings and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idgen => "idgen",
            Self::Stat => "stat",
            Self::Spear => "spear",
            Self::Ticket => "ticket",
            Self::MinionsUi => "minions-ui",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no role.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: expected idgen, stat, spear, ticket or minions-ui")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// One start of one process; a later start of the same node has a greater one.
///
/// Milliseconds since the Unix epoch at the start, shifted left by 10 bits, with 10 random bits below: greater for a
/// later start, different for two within a millisecond, and below 2^53, so that JSON holds it as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One incarnation of one node: what presence, tickets and the relay refer to. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeRef {
    /// The node's id, unique within its role: `spear-1`.
    pub id: Arc<str>,
    /// Which start of it.
    pub incarnation: Incarnation,
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.incarnation)
    }
}

/// Whether a node takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Takes part.
    Up,
    /// Takes nothing new and will leave.
    Draining,
}

/// What a node registers about itself (CONTRACT §7). An unknown field is ignored, so that a newer node may say more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The id, unique within the role.
    pub id: Arc<str>,
    /// What it does.
    pub role: Role,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Where other nodes reach it.
    pub host: String,
    /// The port there: gRPC for idgen and stat, HTTP for the others.
    pub port: u16,
    /// What clients are given, `http://host:port` without a trailing slash. For stat: its HTTP API.
    pub public_url: String,
    /// Its admin port, `http://host:port`.
    pub admin_url: String,
    /// Its share of the work against the others of its role; 1 is usual, 0 takes nothing new.
    pub weight: u32,
    /// Whether it takes new work.
    pub state: NodeState,
    /// The version of its binary.
    pub version: String,
    /// When the process started, milliseconds since the Unix epoch.
    pub started_at: i64,
}

impl NodeRecord {
    /// This incarnation of this node.
    pub fn node_ref(&self) -> NodeRef {
        NodeRef { id: self.id.clone(), incarnation: self.incarnation }
    }
}
