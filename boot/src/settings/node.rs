//! The keys that the table of every role has.

use serde::Deserialize;

/// Who a node is and where it listens. A role's own `Settings` may repeat these keys or leave them out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeSettings {
    /// How many of the role run in this process.
    pub instances: u32,
    /// The id of this one.
    pub id: String,
    /// Where it listens, and where other nodes reach it.
    pub host: String,
    /// Its main port, with the instance's offset; 0 lets the system choose.
    pub port: u16,
    /// A second port for HTTP, where the main one is for gRPC; with the instance's offset.
    #[serde(default)]
    pub http_port: Option<u16>,
    /// What clients are given; empty: made of host and port.
    #[serde(default)]
    pub public_url: String,
    /// Its share of the work against the others of its role.
    pub weight: u32,
    /// How long it may drain, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Its admin port.
    pub admin: AdminSettings,
}

/// Where `/healthz`, `/readyz`, `/metrics` and `/admin/*` are answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// Loopback unless set.
    pub host: String,
    /// With the instance's offset; 0 lets the system choose.
    pub port: u16,
}

impl NodeSettings {
    /// The keys above: what a role's own `Settings` may leave out.
    pub(super) const KEYS: [&'static str; 9] =
        ["instances", "id", "host", "port", "http_port", "public_url", "weight", "drain_timeout_ms", "admin"];

    /// One node on loopback, all ports chosen by the system.
    pub(crate) fn on_loopback(id: &str) -> Self {
        Self {
            instances: 1,
            id: id.into(),
            host: "127.0.0.1".into(),
            port: 0,
            http_port: None,
            public_url: String::new(),
            weight: 1,
            drain_timeout_ms: 2000,
            admin: AdminSettings { host: "127.0.0.1".into(), port: 0 },
        }
    }
}
