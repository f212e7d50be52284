//! What the nodes reported over time: a bounded ring of samples for each node.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::Serialize;
use store::Report;
use wire::{Incarnation, Role};

/// The last samples of every node, a second apart.
///
/// Bounds: `nodes` nodes, `samples` samples each, `columns` counters each. At the first bound the node that was silent
/// longest is forgotten, at the second the oldest sample, at the third further counter names are left out. With the
/// defaults (100 nodes, 3,600 samples, 64 counters of 8 bytes) that is 184 MB at the very most; a node with 20 counters
/// takes 0.6 MB an hour.
#[derive(Debug)]
pub(crate) struct History {
    nodes: BTreeMap<(Role, String), Track>,
    max_nodes: usize,
    max_samples: usize,
    max_columns: usize,
}

/// One node over time.
#[derive(Debug, Default)]
pub(crate) struct Track {
    columns: Vec<Arc<str>>,
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: i64,
    incarnation: Incarnation,
    /// In the order of the track's columns; shorter where a column came later, NaN where a counter was missing.
    values: Box<[f64]>,
}

/// A node's counters over time, a column for each, as charts want them.
#[derive(Debug, Default, Serialize, PartialEq, utoipa::ToSchema)]
pub(crate) struct Columns {
    /// When each sample was reported, by the node's clock; ascending.
    pub at: Vec<i64>,
    /// Which start of the node each sample is of.
    #[schema(value_type = Vec<u64>)]
    pub incarnation: Vec<Incarnation>,
    /// The values; `null` where the node did not report that counter then.
    #[schema(value_type = BTreeMap<String, Vec<Option<f64>>>)]
    pub counters: BTreeMap<Arc<str>, Vec<Option<f64>>>,
}

impl History {
    pub(crate) fn new(max_nodes: usize, max_samples: usize, max_columns: usize) -> Self {
        Self { nodes: BTreeMap::new(), max_nodes, max_samples, max_columns }
    }

    /// Takes what is new in these reports; one that was taken before, or is older, is ignored.
    pub(crate) fn take(&mut self, reports: &[Report]) {
        for report in reports {
            let key = (report.role, report.node.clone());
            self.nodes.entry(key).or_default().take(report, self.max_samples, self.max_columns);
        }
        while self.nodes.len() > self.max_nodes {
            let Some(silent) =
                self.nodes.iter().min_by_key(|(_, track)| track.last_at()).map(|(key, _)| key.clone())
            else {
                return;
            };
            self.nodes.remove(&silent);
        }
    }

    /// What is known of one node.
    pub(crate) fn track(&self, role: Role, id: &str) -> Option<&Track> {
        self.nodes.get(&(role, id.to_owned()))
    }

    /// Forgets the nodes whose last sample is older than `at`.
    pub(crate) fn forget_before(&mut self, at: i64) {
        self.nodes.retain(|_, track| track.last_at() >= at);
    }
}

impl Track {
    fn take(&mut self, report: &Report, max_samples: usize, max_columns: usize) {
        if self.samples.back().is_some_and(|last| report.incarnation < last.incarnation) {
            return;
        }
        let restarted = self.samples.back().is_some_and(|last| report.incarnation > last.incarnation);
        // A node whose clock was set back goes on once it has caught up, or at its next start.
        if report.reported_at <= self.last_at() && !restarted {
            return;
        }
        for name in report.counters.keys() {
            let known = self.columns.iter().any(|column| **column == **name);
            if !known && self.columns.len() < max_columns {
                self.columns.push(name.as_str().into());
            }
        }
        let value = |column: &Arc<str>| report.counters.get(&**column).copied().unwrap_or(f64::NAN);
        let values = self.columns.iter().map(value).collect();
        if self.samples.len() >= max_samples {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at: report.reported_at, incarnation: report.incarnation, values });
    }

    fn last_at(&self) -> i64 {
        self.samples.back().map_or(i64::MIN, |sample| sample.at)
    }

    /// The samples at or after `since`, at most `max_points` (at least 2) of them, spread evenly, the last one included.
    pub(crate) fn columns(&self, since: i64, max_points: usize) -> Columns {
        let first = self.samples.iter().position(|sample| sample.at >= since).unwrap_or(self.samples.len());
        let wanted = self.samples.len() - first;
        let step = wanted.div_ceil(max_points.max(1)).max(1);
        // Counted from the end, so that the newest sample is always there.
        let chosen =
            || (first..self.samples.len()).filter(|i| (self.samples.len() - 1 - i).is_multiple_of(step));
        let counters = self.columns.iter().enumerate().map(|(column, name)| {
            let value = |i: usize| self.samples[i].values.get(column).copied().filter(|v| !v.is_nan());
            (name.clone(), chosen().map(value).collect())
        });
        Columns {
            at: chosen().map(|i| self.samples[i].at).collect(),
            incarnation: chosen().map(|i| self.samples[i].incarnation).collect(),
            counters: counters.collect(),
        }
    }

    /// How much a total grows a second, over the last `window_ms` of the newest start; 0 until there are two samples.
    ///
    /// Samples of an earlier start are never compared with, and a total that went down counts as 0.
    pub(crate) fn rate(&self, counter: &str, window_ms: i64) -> f64 {
        let Some(column) = self.columns.iter().position(|column| **column == *counter) else { return 0.0 };
        let Some(last) = self.samples.back() else { return 0.0 };
        let value = |sample: &Sample| sample.values.get(column).copied().filter(|v| v.is_finite());
        let base = self
            .samples
            .iter()
            .rev()
            .take_while(|sample| sample.incarnation == last.incarnation && sample.at >= last.at - window_ms)
            .last();
        let Some(base) = base else { return 0.0 };
        let (Some(from), Some(to)) = (value(base), value(last)) else { return 0.0 };
        let seconds = (last.at - base.at) as f64 / 1000.0;
        if seconds <= 0.0 { 0.0 } else { ((to - from) / seconds).max(0.0) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn report(node: &str, incarnation: u64, at: i64, counters: &[(&str, f64)]) -> Report {
        Report {
            role: Role::Spear,
            node: node.into(),
            incarnation: Incarnation(incarnation),
            reported_at: at,
            counters: counters.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn history() -> History {
        History::new(2, 5, 2)
    }

    fn rate(history: &History) -> f64 {
        history.track(Role::Spear, "s").map_or(f64::NAN, |track| track.rate("total", 5_000))
    }

    #[test]
    fn a_rate_is_the_growth_over_the_window() {
        let mut history = history();
        history.take(&[report("s", 1, 1_000, &[("total", 10.0)])]);
        assert_eq!(rate(&history), 0.0);
        history.take(&[report("s", 1, 3_000, &[("total", 30.0)])]);
        assert_eq!(rate(&history), 10.0);
        history.take(&[report("s", 1, 8_000, &[("total", 130.0)])]);
        assert_eq!(rate(&history), 20.0, "the sample at 1,000 is outside the window of 5 s");
    }

    #[test]
    fn a_restart_gives_no_negative_rate() {
        let mut history = history();
        history.take(&[report("s", 1, 1_000, &[("total", 1_000.0)])]);
        history.take(&[report("s", 2, 2_000, &[("total", 3.0)])]);
        assert_eq!(rate(&history), 0.0);
        history.take(&[report("s", 2, 3_000, &[("total", 8.0)])]);
        assert_eq!(rate(&history), 5.0);
    }

    #[test]
    fn a_late_report_of_an_earlier_start_is_ignored() {
        let mut history = history();
        history.take(&[report("s", 2, 2_000, &[("total", 3.0)])]);
        history.take(&[report("s", 1, 2_500, &[("total", 1_000.0)])]);
        history.take(&[report("s", 2, 3_000, &[("total", 8.0)])]);
        assert_eq!(rate(&history), 5.0);
    }

    #[test]
    fn a_total_that_goes_down_counts_as_nothing() {
        let mut history = history();
        history.take(&[report("s", 1, 1_000, &[("total", 9.0)])]);
        history.take(&[report("s", 1, 2_000, &[("total", 4.0)])]);
        assert_eq!(rate(&history), 0.0);
    }

    #[test]
    fn a_restart_with_a_clock_set_back_is_taken() {
        let mut history = history();
        history.take(&[report("s", 1, 9_000, &[("total", 9.0)])]);
        history.take(&[report("s", 2, 1_000, &[("total", 1.0)])]);
        history.take(&[report("s", 2, 2_000, &[("total", 3.0)])]);
        assert_eq!(rate(&history), 2.0);
    }

    #[test]
    fn samples_nodes_and_counters_are_bounded() {
        let mut history = history();
        for second in 1..=10 {
            history.take(&[report("s", 1, second * 1_000, &[("a", 1.0), ("b", 2.0), ("c", 3.0)])]);
        }
        let columns =
            history.track(Role::Spear, "s").map(|track| track.columns(0, 100)).expect("it reported");
        assert_eq!(columns.at, [6_000, 7_000, 8_000, 9_000, 10_000]);
        assert_eq!(columns.counters.len(), 2);
        history.take(&[report("t", 1, 20_000, &[]), report("u", 1, 21_000, &[])]);
        assert!(history.track(Role::Spear, "s").is_none(), "s was silent longest");
        assert!(history.track(Role::Spear, "t").is_some());
        history.forget_before(20_500);
        assert!(history.track(Role::Spear, "t").is_none());
    }

    #[test]
    fn the_same_report_again_is_no_new_sample() {
        let mut history = history();
        history.take(&[report("s", 1, 1_000, &[("a", 1.0)])]);
        history.take(&[report("s", 1, 1_000, &[("a", 1.0)])]);
        let columns =
            history.track(Role::Spear, "s").map(|track| track.columns(0, 100)).expect("it reported");
        assert_eq!(columns.at, [1_000]);
    }

    #[test]
    fn thinning_keeps_the_newest_and_shows_holes_as_null() {
        let mut history = History::new(1, 100, 10);
        for second in 1..=10 {
            let name = if second < 6 { "a" } else { "b" };
            history.take(&[report("s", 1, second * 1_000, &[(name, second as f64)])]);
        }
        let columns =
            history.track(Role::Spear, "s").map(|track| track.columns(3_000, 4)).expect("it reported");
        assert_eq!(columns.at, [4_000, 6_000, 8_000, 10_000]);
        assert_eq!(columns.counters["a"], [Some(4.0), None, None, None]);
        assert_eq!(columns.counters["b"], [None, Some(6.0), Some(8.0), Some(10.0)]);
    }
}
