//! What a spear counts. The message path touches atomics only; once a second they are published and reported.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use hdrhistogram::Histogram;
use metrics::Label;
use parking_lot::Mutex;
use socket::Reason;
use wire::time::now_ms;

/// Latencies above this are counted as this, in milliseconds.
const LATENCY_MAX_MS: u64 = 60_000;

/// What a spear holds at a moment, beside connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holds {
    pub(crate) users: usize,
    pub(crate) groups: usize,
    pub(crate) rooms: usize,
}

/// The counters of one spear.
pub(crate) struct Counters {
    connections: AtomicU64,
    /// How many of these are still to move.
    draining: AtomicU64,
    messages: AtomicU64,
    deliveries: AtomicU64,
    replayed: AtomicU64,
    gaps: AtomicU64,
    fell_behind: AtomicU64,
    missed: AtomicU64,
    sweeps: AtomicU64,
    hints: AtomicU64,
    hints_repeated: AtomicU64,
    hints_missing: AtomicU64,
    refused: AtomicU64,
    ended: [AtomicU64; Reason::ALL.len()],
    /// From `sent_at` to the hand-over to the socket, since the last report.
    latency: Mutex<Histogram<u32>>,
}

impl Counters {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            connections: AtomicU64::new(0),
            draining: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            fell_behind: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            sweeps: AtomicU64::new(0),
            hints: AtomicU64::new(0),
            hints_repeated: AtomicU64::new(0),
            hints_missing: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ended: Default::default(),
            latency: Mutex::new(Histogram::new_with_bounds(1, LATENCY_MAX_MS, 2)?),
        })
    }

    /// A message was handed to this many sockets.
    pub(crate) fn delivered(&self, deliveries: u64, sent_at: i64) {
        self.deliveries.fetch_add(deliveries, Relaxed);
        let latency = u64::try_from(now_ms().saturating_sub(sent_at)).unwrap_or(0).min(LATENCY_MAX_MS);
        self.latency.lock().saturating_record_n(latency, u32::try_from(deliveries).unwrap_or(u32::MAX));
    }

    pub(crate) fn caught_up(&self) {
        self.replayed.fetch_add(1, Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    pub(crate) fn connection_count(&self) -> usize {
        usize::try_from(self.connections.load(Relaxed)).unwrap_or(usize::MAX)
    }

    /// So many connections are still to move; 0 where nobody is asked to.
    pub(crate) fn draining(&self, remaining: usize) {
        self.draining.store(remaining as u64, Relaxed);
    }

    /// A client has sent a message.
    pub(crate) fn sent(&self) {
        self.messages.fetch_add(1, Relaxed);
    }

    pub(crate) fn gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    pub(crate) fn fell_behind(&self) {
        self.fell_behind.fetch_add(1, Relaxed);
    }

    /// So many connections had no place for a signal, a room's message or one to everybody.
    pub(crate) fn missed(&self, connections: u64) {
        self.missed.fetch_add(connections, Relaxed);
    }

    pub(crate) fn sweep(&self) {
        self.sweeps.fetch_add(1, Relaxed);
    }

    pub(crate) fn hint(&self) {
        self.hints.fetch_add(1, Relaxed);
    }

    pub(crate) fn hint_repeated(&self) {
        self.hints_repeated.fetch_add(1, Relaxed);
    }

    pub(crate) fn hints_missing(&self, missing: u64) {
        self.hints_missing.fetch_add(missing, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, reason: Reason) {
        if let Some(ended) = self.ended.get(reason as usize) {
            ended.fetch_add(1, Relaxed);
        }
    }

    /// Everything, as it is reported to stat; `latency_*` since the last call, absent where nothing
    /// was delivered.
    pub(crate) fn report(&self, holds: Holds) -> BTreeMap<String, f64> {
        let mut report: BTreeMap<String, f64> =
            self.totals().into_iter().map(|(name, value)| (name.to_owned(), value as f64)).collect();
        {
            let mut latency = self.latency.lock();
            if !latency.is_empty() {
                report.insert("latency_p50_ms".into(), latency.value_at_quantile(0.5) as f64);
                report.insert("latency_p99_ms".into(), latency.value_at_quantile(0.99) as f64);
                latency.reset();
            }
        }
        report.insert("connections".into(), self.connections.load(Relaxed) as f64);
        report.insert("draining_remaining".into(), self.draining.load(Relaxed) as f64);
        report.insert("users".into(), holds.users as f64);
        report.insert("groups".into(), holds.groups as f64);
        report.insert("rooms".into(), holds.rooms as f64);
        report
    }

    /// Publishes everything to the metrics of the process.
    pub(crate) fn publish(&self, holds: Holds, labels: &[Label]) {
        for (name, value) in self.totals() {
            metrics::counter!(format!("phalanx_spear_{name}"), labels.iter()).absolute(value);
        }
        for (reason, ended) in Reason::ALL.into_iter().zip(&self.ended) {
            let labels =
                labels.iter().cloned().chain([Label::new("reason", reason.as_str())]).collect::<Vec<_>>();
            metrics::counter!("phalanx_spear_connections_ended_total", labels).absolute(ended.load(Relaxed));
        }
        metrics::gauge!("phalanx_spear_connections", labels.iter())
            .set(self.connections.load(Relaxed) as f64);
        metrics::gauge!("phalanx_spear_draining_remaining", labels.iter())
            .set(self.draining.load(Relaxed) as f64);
        metrics::gauge!("phalanx_spear_users", labels.iter()).set(holds.users as f64);
        metrics::gauge!("phalanx_spear_groups", labels.iter()).set(holds.groups as f64);
        metrics::gauge!("phalanx_spear_rooms", labels.iter()).set(holds.rooms as f64);
    }

    fn totals(&self) -> [(&'static str, u64); 11] {
        [
            ("messages_total", self.messages.load(Relaxed)),
            ("deliveries_total", self.deliveries.load(Relaxed)),
            ("replayed_total", self.replayed.load(Relaxed)),
            ("gaps_total", self.gaps.load(Relaxed)),
            ("fell_behind_total", self.fell_behind.load(Relaxed)),
            ("missed_total", self.missed.load(Relaxed)),
            ("sweeps_total", self.sweeps.load(Relaxed)),
            ("hints_total", self.hints.load(Relaxed)),
            ("hints_repeated_total", self.hints_repeated.load(Relaxed)),
            ("hints_missing_total", self.hints_missing.load(Relaxed)),
            ("refused_total", self.refused.load(Relaxed)),
        ]
    }
}
