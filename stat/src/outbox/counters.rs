//! Metrics of a consumer, `phalanx_<consumer>_…`.

use std::{collections::BTreeMap, sync::Arc};

use metrics::{Counter, Gauge, Label};
use parking_lot::Mutex;
use wire::time::now_ms;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Counters {
    dropped: Counter,
    pub(crate) skipped: Counter,
    pub(crate) failed: Counter,
    pub(crate) repeated: Counter,
    pub(crate) failing_since: Gauge,
    events: Counter,
    requests: Counter,
    given_up: Counter,
    entries: Gauge,
    seconds: Gauge,
    shares: Gauge,
    of: Arc<Mutex<BTreeMap<u16, OfOne>>>,
}

/// Of a share: entries that wait, and when the oldest message that is being handed over was sent.
#[derive(Default)]
struct OfOne {
    entries: u64,
    oldest: Option<i64>,
    /// Entries that are missing before the first one that waits.
    dropped: u64,
}

/// A share is held while this is.
pub(crate) struct OfShare {
    counters: Counters,
    share: u16,
}

impl Counters {
    /// `consumer`: what the names of the metrics begin with, after `phalanx_`.
    pub(crate) fn new(consumer: &str, labels: Vec<Label>) -> Self {
        let counter = |name: &str| metrics::counter!(format!("phalanx_{consumer}_{name}"), labels.clone());
        let gauge = |name: &str| metrics::gauge!(format!("phalanx_{consumer}_{name}"), labels.clone());
        Self {
            dropped: counter("dropped_total"),
            skipped: counter("skipped_total"),
            failed: counter("failed_requests_total"),
            repeated: counter("repeated_requests_total"),
            failing_since: gauge("failing_since_timestamp_seconds"),
            events: counter("events_total"),
            requests: counter("requests_total"),
            given_up: counter("given_up_total"),
            entries: gauge("waiting_entries"),
            seconds: gauge("waiting_seconds"),
            shares: gauge("shares"),
            of: Arc::default(),
        }
    }

    /// A share is held from now on.
    pub(crate) fn of_share(&self, share: u16) -> OfShare {
        self.change(|of| {
            of.entry(share).or_default();
        });
        OfShare { counters: self.clone(), share }
    }

    /// So many entries wait in a share, and so many before them had to go; answers how many of these were not counted yet.
    pub(crate) fn waiting(&self, share: u16, entries: u64, dropped: u64) -> u64 {
        let mut new = 0;
        self.change(|of| {
            let one = of.entry(share).or_default();
            one.entries = entries;
            if entries == 0 {
                one.oldest = None;
            }
            new = dropped.saturating_sub(one.dropped);
            one.dropped = dropped;
        });
        self.dropped.increment(new);
        new
    }

    /// What had to go in a share is behind it.
    pub(crate) fn confirmed(&self, share: u16) {
        self.change(|of| of.entry(share).or_default().dropped = 0);
    }

    /// The oldest message that is being handed over was sent then.
    pub(crate) fn oldest(&self, share: u16, sent_at: Option<i64>) {
        self.change(|of| of.entry(share).or_default().oldest = sent_at);
    }

    /// A request with so many events was taken.
    pub(crate) fn taken(&self, events: usize) {
        self.requests.increment(1);
        self.events.increment(events as u64);
    }

    /// So many events were given up.
    pub(crate) fn given_up(&self, events: usize) {
        self.given_up.increment(events as u64);
    }

    /// What is read of it by others than the metrics.
    pub(crate) fn lag(&self) -> Lag {
        Lag(self.of.clone())
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<u16, OfOne>)) {
        let mut of = self.of.lock();
        change(&mut of);
        self.entries.set(of.values().map(|one| one.entries).sum::<u64>() as f64);
        let oldest = of.values().filter_map(|one| one.oldest).min();
        self.seconds.set(oldest.map_or(0.0, |at| (now_ms() - at).max(0) as f64 / 1_000.0));
        self.shares.set(of.len() as f64);
    }
}

/// How much waits for a consumer in the shares that this node holds.
#[derive(Clone)]
pub(crate) struct Lag(Arc<Mutex<BTreeMap<u16, OfOne>>>);

impl Lag {
    /// Entries, and for how long the oldest message that is being handed over has waited, in milliseconds.
    pub(crate) fn read(&self) -> (u64, i64) {
        let of = self.0.lock();
        let oldest = of.values().filter_map(|one| one.oldest).min();
        (of.values().map(|one| one.entries).sum(), oldest.map_or(0, |at| (now_ms() - at).max(0)))
    }
}

impl Drop for OfShare {
    fn drop(&mut self) {
        self.counters.change(|of| {
            of.remove(&self.share);
        });
    }
}
