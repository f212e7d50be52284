//! What a node counts: for Prometheus, and for stat.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use metrics::{Counter, Gauge, Label};

/// The counters of one node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Counters(Arc<Inner>);

struct Inner {
    ids: AtomicU64,
    requests: AtomicU64,
    refusals: AtomicU64,
    takeovers: AtomicU64,
    active: AtomicU64,
    lead_ms: AtomicI64,
    ids_total: Counter,
    requests_total: Counter,
    refusals_total: Counter,
    takeovers_total: Counter,
    active_gauge: Gauge,
    lead_gauge: Gauge,
}

impl Counters {
    /// With the labels of the node.
    pub(crate) fn new(labels: Vec<Label>) -> Self {
        let labels = || labels.clone();
        Self(Arc::new(Inner {
            ids: AtomicU64::default(),
            requests: AtomicU64::default(),
            refusals: AtomicU64::default(),
            takeovers: AtomicU64::default(),
            active: AtomicU64::default(),
            lead_ms: AtomicI64::default(),
            ids_total: metrics::counter!("phalanx_idgen_ids_total", labels()),
            requests_total: metrics::counter!("phalanx_idgen_requests_total", labels()),
            refusals_total: metrics::counter!("phalanx_idgen_refusals_total", labels()),
            takeovers_total: metrics::counter!("phalanx_idgen_failovers_total", labels()),
            active_gauge: metrics::gauge!("phalanx_idgen_active", labels()),
            lead_gauge: metrics::gauge!("phalanx_idgen_watermark_lead_seconds", labels()),
        }))
    }

    pub(crate) fn served(&self, ids: u32) {
        self.0.ids.fetch_add(ids.into(), Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.ids_total.increment(ids.into());
        self.0.requests_total.increment(1);
    }

    pub(crate) fn refused(&self) {
        self.0.refusals.fetch_add(1, Ordering::Relaxed);
        self.0.refusals_total.increment(1);
    }

    /// This node took over from another start or node.
    pub(crate) fn took_over(&self) {
        self.0.takeovers.fetch_add(1, Ordering::Relaxed);
        self.0.takeovers_total.increment(1);
    }

    pub(crate) fn set_active(&self, active: bool) {
        self.0.active.store(active.into(), Ordering::Relaxed);
        self.0.active_gauge.set(if active { 1.0 } else { 0.0 });
        if !active {
            // The watermark is another node's concern now.
            self.set_lead(0);
        }
    }

    /// By how much the watermark is ahead of the wall clock.
    pub(crate) fn set_lead(&self, lead_ms: i64) {
        self.0.lead_ms.store(lead_ms, Ordering::Relaxed);
        self.0.lead_gauge.set(lead_ms as f64 / 1_000.0);
    }

    /// What stat is told.
    pub(crate) fn report(&self) -> [(&'static str, f64); 6] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        [
            ("ids", of(&self.0.ids)),
            ("requests", of(&self.0.requests)),
            ("refusals", of(&self.0.refusals)),
            ("failovers", of(&self.0.takeovers)),
            ("active", of(&self.0.active)),
            ("watermark_lead_ms", self.0.lead_ms.load(Ordering::Relaxed) as f64),
        ]
    }
}
