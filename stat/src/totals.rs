//! The cluster in one glance: sums over the live spears.

use roster::Snapshot;
use serde::Serialize;
use store::Report;
use utoipa::ToSchema;
use wire::Role;

use crate::history::History;

/// Over how long rates are taken, in milliseconds: long enough to be steady, short enough to follow.
const RATE_WINDOW_MS: i64 = 5_000;

/// Sums of what the live spears reported last. A user, group or room on two spears counts on each.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Totals {
    pub users_online: u64,
    pub connections: u64,
    pub groups: u64,
    pub rooms: u64,
    pub messages_per_second: f64,
    pub deliveries_per_second: f64,
    pub latency_ms: Latency,
    pub store: Option<StoreTotals>,
    /// What waits for the back end of the webhooks; `null` while none is set.
    pub webhooks: Option<Backlog>,
    /// What waits to be exported; `null` while it is nowhere.
    pub export: Option<Backlog>,
}

/// What waits in the outboxes for somebody, as the stat nodes say that hand it over.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Backlog {
    /// Entries.
    pub waiting: u64,
    /// How long ago the oldest message was sent that is being handed over, in milliseconds; 0: none is.
    pub waiting_ms: u64,
}

/// What is stored, as the stat node says that trims; all of it `null` while none does, or where its store does not answer.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct StoreTotals {
    /// Bytes in use, of all servers together.
    pub bytes: u64,
    /// How full the fullest server is: 1 at its bound. `null` where there is no bound.
    pub filled: Option<f64>,
    /// Messages of all conversations, as the last pass over them counted; `null` before the first one.
    pub messages: Option<u64>,
    /// When the oldest of them was sent.
    pub oldest_at: Option<i64>,
    /// Messages a second that retention takes.
    pub trimmed_per_second: f64,
}

/// End-to-end latency; `null` where no spear measured any.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Latency {
    /// The mean of the spears' medians, weighted by their deliveries a second.
    pub p50: Option<f64>,
    /// The worst spear's.
    pub p99: Option<f64>,
}

/// Sums the reports of spears that are in the roster with the same incarnation.
pub(crate) fn totals(snapshot: &Snapshot, reports: &[Report], history: &History) -> Totals {
    let mut totals = Totals::default();
    let mut medians = Vec::new();
    let live = reports.iter().filter(|report| {
        report.role == Role::Spear
            && snapshot.incarnation(Role::Spear, &report.node) == Some(report.incarnation)
    });
    for report in live {
        let gauge = |name| report.counters.get(name).copied().filter(|value: &f64| value.is_finite());
        let count = |name| gauge(name).unwrap_or(0.0).max(0.0).round() as u64;
        totals.users_online += count("users");
        totals.connections += count("connections");
        totals.groups += count("groups");
        totals.rooms += count("rooms");
        let track = history.track(Role::Spear, &report.node);
        let rate = |name| track.map_or(0.0, |track| track.rate(name, RATE_WINDOW_MS));
        let deliveries = rate("deliveries_total");
        totals.messages_per_second += rate("messages_total");
        totals.deliveries_per_second += deliveries;
        medians.extend(gauge("latency_p50_ms").map(|median| (median, deliveries)));
        totals.latency_ms.p99 = match (totals.latency_ms.p99, gauge("latency_p99_ms")) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }
    totals.latency_ms.p50 = weighted_mean(&medians);
    totals.store = store_totals(snapshot, reports, history);
    totals.webhooks = backlog(snapshot, reports, "webhooks");
    totals.export = backlog(snapshot, reports, "export");
    totals
}

/// What live stat nodes reported last.
fn of_stat<'a>(snapshot: &Snapshot, reports: &'a [Report]) -> impl Iterator<Item = &'a Report> {
    reports.iter().filter(|report| {
        report.role == Role::Stat
            && snapshot.incarnation(Role::Stat, &report.node) == Some(report.incarnation)
    })
}

fn counter(report: &Report, name: &str) -> Option<f64> {
    report.counters.get(name).copied().filter(|value| value.is_finite() && *value >= 0.0)
}

fn backlog(snapshot: &Snapshot, reports: &[Report], consumer: &str) -> Option<Backlog> {
    let (waiting, waiting_ms) = (format!("{consumer}_waiting"), format!("{consumer}_waiting_ms"));
    of_stat(snapshot, reports)
        .filter_map(|report| Some((counter(report, &waiting)?, counter(report, &waiting_ms)?)))
        .map(|(entries, ms)| Backlog { waiting: entries as u64, waiting_ms: ms as u64 })
        .reduce(|one, other| Backlog {
            waiting: one.waiting + other.waiting,
            waiting_ms: one.waiting_ms.max(other.waiting_ms),
        })
}

fn store_totals(snapshot: &Snapshot, reports: &[Report], history: &History) -> Option<StoreTotals> {
    let (report, bytes) = of_stat(snapshot, reports)
        .filter_map(|report| Some((report, counter(report, "store_bytes")?)))
        // Where one has just taken over from the other.
        .max_by_key(|(report, _)| report.reported_at)?;
    let track = history.track(Role::Stat, &report.node);
    Some(StoreTotals {
        bytes: bytes as u64,
        filled: counter(report, "store_filled"),
        messages: counter(report, "store_messages").map(|messages| messages as u64),
        oldest_at: counter(report, "store_oldest_at").map(|at| at as i64),
        trimmed_per_second: track.map_or(0.0, |track| track.rate("store_trimmed_total", RATE_WINDOW_MS)),
    })
}

/// The mean by weight; the plain one where all weights are 0; `None` of nothing.
fn weighted_mean(values: &[(f64, f64)]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let weights: f64 = values.iter().map(|(_, weight)| weight).sum();
    if weights > 0.0 {
        return Some(values.iter().map(|(value, weight)| value * weight).sum::<f64>() / weights);
    }
    Some(values.iter().map(|(value, _)| value).sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::tests::report, nodes::tests::record};

    #[test]
    fn live_spears_are_summed_and_others_left_out() {
        let snapshot = Snapshot::new([record("a", 1), record("b", 2)]);
        let mut history = History::new(10, 10, 10);
        let counters = |total: f64, p50: f64, p99: f64| {
            [
                ("connections", 2.0),
                ("users", 1.0),
                ("messages_total", total),
                ("deliveries_total", total * 3.0),
                ("latency_p50_ms", p50),
                ("latency_p99_ms", p99),
            ]
        };
        let early = [
            report("a", 1, 1_000, &counters(0.0, 1.0, 5.0)),
            report("b", 2, 1_000, &counters(5.0, 1.0, 1.0)),
        ];
        let late = [
            report("a", 1, 2_000, &counters(10.0, 2.0, 5.0)),
            report("b", 2, 2_000, &counters(35.0, 6.0, 9.0)),
            report("gone", 1, 2_000, &counters(1e9, 100.0, 100.0)),
        ];
        history.take(&early);
        history.take(&late);
        let totals = totals(&snapshot, &late, &history);
        assert_eq!((totals.connections, totals.users_online), (4, 2));
        assert_eq!((totals.messages_per_second, totals.deliveries_per_second), (40.0, 120.0));
        assert_eq!(totals.latency_ms, Latency { p50: Some(5.0), p99: Some(9.0) });
    }

    #[test]
    fn the_store_is_what_the_node_says_that_trims() {
        let of_stat = |node: &str, at, counters: &[(&str, f64)]| Report {
            role: Role::Stat,
            ..report(node, 1, at, counters)
        };
        let stat = |id| wire::NodeRecord { role: Role::Stat, ..record(id, 1) };
        let snapshot = Snapshot::new([stat("a"), stat("b")]);
        let store = [("store_bytes", 1e6), ("store_filled", 0.5), ("store_messages", 7.0)];
        let reports = [
            of_stat("a", 2_000, &[("requests_total", 1.0)]),
            of_stat("b", 1_000, &store),
            of_stat("gone", 3_000, &[("store_bytes", 1.0)]),
        ];
        let found = totals(&snapshot, &reports, &History::new(1, 1, 1)).store;
        let expected = StoreTotals {
            bytes: 1_000_000,
            filled: Some(0.5),
            messages: Some(7),
            oldest_at: None,
            trimmed_per_second: 0.0,
        };
        assert_eq!(found, Some(expected));
        assert_eq!(totals(&snapshot, &reports[..1], &History::new(1, 1, 1)).store, None);
    }

    #[test]
    fn the_report_of_an_earlier_start_counts_as_nothing() {
        let snapshot = Snapshot::new([record("a", 2)]);
        let reports = [report("a", 1, 1_000, &[("connections", 7.0)])];
        assert_eq!(totals(&snapshot, &reports, &History::new(1, 1, 1)), Totals::default());
    }
}
