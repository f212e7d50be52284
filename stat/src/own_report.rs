//! This node's report about itself.

use std::sync::Arc;

use rpc::REPORT_INTERVAL;
use store::{Report, Store};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, time::now_ms};

use crate::{
    http::Api,
    intake::Intake,
    observed::Observed,
    outbox::Lag,
    retention::{Findings, Stored},
};

/// What the report is made of.
pub(crate) struct Sources {
    pub(crate) intake: Intake,
    pub(crate) api: Api,
    pub(crate) observed: Observed,
    pub(crate) stored: Stored,
    /// By consumer, what waits in the outboxes.
    pub(crate) backlogs: Vec<(&'static str, Lag)>,
}

/// Reports about this node every second. It needs no gRPC for that: the store is at hand.
pub(crate) async fn report(
    record: NodeRecord,
    store: Arc<dyn Store>,
    sources: Sources,
    stop: CancellationToken,
) {
    let Sources { intake, api, observed, stored, backlogs } = sources;
    let mut tick = tokio::time::interval(REPORT_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let (requests, refused) = api.requests();
        let counters = [
            ("requests_total", requests as f64),
            ("requests_refused_total", refused as f64),
            ("reports_total", intake.accepted() as f64),
            ("nodes", observed.snapshot().nodes().count() as f64),
        ];
        let counters = counters.into_iter().chain(stored.findings().into_iter().flat_map(of_store));
        let backlogs = backlogs.iter().flat_map(|(consumer, lag)| {
            let (entries, ms) = lag.read();
            [(format!("{consumer}_waiting"), entries as f64), (format!("{consumer}_waiting_ms"), ms as f64)]
        });
        let report = Report {
            role: record.role,
            node: record.id.to_string(),
            incarnation: record.incarnation,
            reported_at: now_ms(),
            counters: counters.map(|(name, value)| (name.to_owned(), value)).chain(backlogs).collect(),
        };
        if let Err(error) = store.put_report(report).await {
            tracing::debug!(%error, "this node's own report was not kept");
        }
    }
}

/// What only the node says that trims; `totals.rs` reads it.
fn of_store(findings: Findings) -> impl Iterator<Item = (&'static str, f64)> {
    [
        ("store_bytes", Some(findings.bytes as f64)),
        ("store_filled", findings.filled),
        ("store_messages", findings.messages.map(|messages| messages as f64)),
        ("store_oldest_at", findings.oldest_at.map(|at| at as f64)),
        ("store_trimmed_total", Some(findings.trimmed as f64)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}
