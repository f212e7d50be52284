//! This node's report about itself.

use std::sync::Arc;

use rpc::REPORT_INTERVAL;
use store::{Report, Store};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, time::now_ms};

use crate::{http::Api, intake::Intake, observed::Observed};

/// Reports about this node every second. It needs no gRPC for that: the store is at hand.
pub(crate) async fn report(
    record: NodeRecord,
    store: Arc<dyn Store>,
    intake: Intake,
    api: Api,
    observed: Observed,
    stop: CancellationToken,
) {
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
        let report = Report {
            role: record.role,
            node: record.id.to_string(),
            incarnation: record.incarnation,
            reported_at: now_ms(),
            counters: counters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        if let Err(error) = store.put_report(report).await {
            tracing::debug!(%error, "this node's own report was not kept");
        }
    }
}
