//! The last state that each node reported, kept where every stat node can read it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use wire::{Incarnation, Role};

use crate::StoreError;

/// What a node last said about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The node's role.
    pub role: Role,
    /// The node's id.
    pub node: String,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// When, milliseconds since the Unix epoch, by the node's clock.
    pub reported_at: i64,
    /// Totals since the process started, and gauges.
    pub counters: BTreeMap<String, f64>,
}

/// The last reports. They need not survive a restart.
#[async_trait]
pub trait Reports: Send + Sync + 'static {
    /// Keeps a report in place of the node's last one, unless that is of a later start of the node.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_report(&self, report: Report) -> Result<(), StoreError>;

    /// The last report of every node.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reports(&self) -> Result<Vec<Report>, StoreError>;
}
