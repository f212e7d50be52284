//! What every process of Phalanx does around its roles: settings, logs, metrics, signals and drain.
//!
//! | file | what |
//! |---|---|
//! | `settings/` | [`Tree`]: profiles and environment as one tree; [`SettingsError`] names file, key and what was expected |
//! | `plan.rs` | [`Plan`]: which nodes this process runs, and their life from start to exit |
//! | `supervisor/` | [`Supervisor`]: each node a process of its own, started again when it died |
//! | `node.rs` | [`NodeContext`]: what a role instance knows about itself |
//! | `cluster.rs` | [`Cluster`]: the seams that all roles share (roster, relay, store) and the cluster's secrets |
//! | `relays.rs` | the relays that can be chosen, and the tables that they have of their own |
//! | `servers.rs` | the settings of ZooKeeper and Redis, in the words of the crates that use them |
//! | `keys.rs` | [`SigningKey`]: made under the data directory at the first embedded start |
//! | `incarnation.rs` | which start of the process this is |
//! | `membership.rs` | [`Membership`]: a node joins the roster, shows that it drains, leaves |
//! | `lease.rs` | shows how the lease of the Sentinels stands |
//! | `patience.rs` | [`persist`]: waiting for what a node needs, as long as it takes |
//! | `readiness.rs` | [`Readiness`]: named conditions behind `/readyz` |
//! | `shutdown.rs` | [`Shutdown`]: when to stop and how long draining may take |
//! | `listener.rs`, `port_holder.rs` | binding a port: who holds one that is taken, and waiting where that is a connection |
//! | `admin.rs` | the admin port: `/healthz`, `/readyz`, `/metrics`, `/admin/*` |
//! | `logs.rs`, `metric.rs` | logs and metrics of the process |
//! | `cors.rs` | [`CorsSettings`]: which web pages may ask |
//! | `backup.rs` | [`backup`], [`restore`]: copies of what an embedded cluster keeps |
//! | `http.rs` | [`serve_http`], [`serve_until`]: an HTTP server that drains in bounded time |
//! | `problem.rs` | [`Problem`]: errors of the HTTP APIs |

mod admin;
mod backup;
mod cluster;
mod cors;
mod durable_file;
mod http;
mod incarnation;
mod keys;
mod lease;
mod listener;
mod logs;
mod membership;
mod metric;
mod node;
mod patience;
mod plan;
mod port_holder;
mod problem;
mod readiness;
mod relays;
mod servers;
mod settings;
mod shutdown;
mod supervisor;

pub use admin::health_routes;
pub use backup::{BackupError, backup, partial, restore};
pub use cluster::{Cluster, ClusterError};
pub use cors::CorsSettings;
pub use http::{serve_http, serve_until};
pub use keys::{KeyError, SigningKey};
pub use listener::ListenError;
pub use logs::install as install_logs;
pub use membership::{Membership, Superseded, serve_as_member};
pub use node::{NodeContext, spawn};
pub use patience::{Passing, backoff, persist};
pub use plan::{Plan, RoleSettings};
pub use problem::Problem;
pub use readiness::{Condition, ConditionReport, Readiness, ReadinessReport};
pub use setting::Secret;
pub use settings::{
    AdminSettings, BeforeSendSettings, Brokers, ClusterSettings, InstanceSettings, JwtSettings, LogFormat,
    LogSettings, NodeSettings, OnFailure, OnZooKeeperLoss, RedisMode, RedisSettings, RedisTlsSettings,
    RelayKind, RelaySettings, RetentionSettings, RosterKind, RosterSettings, SettingsError, Shared,
    SharedWebhooks, StoreKind, StoreSettings, Tree, ZooKeeperSettings, load, profiles_dir,
};
pub use shutdown::{Shutdown, ShutdownTrigger};
pub use supervisor::{EXIT_SUPERSEDED, Kept, Stage, Supervisor};
