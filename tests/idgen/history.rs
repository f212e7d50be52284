//! What callers saw, and whether it is as promised.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use wire::proto::idgen::Run;

/// One call that was answered. Times since the history began.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Whom it asked.
    pub(crate) node: String,
    /// Before the request was sent.
    pub(crate) began: Duration,
    /// After the answer was read.
    pub(crate) ended: Duration,
    pub(crate) runs: Vec<Run>,
}

impl Call {
    fn first(&self) -> u64 {
        self.runs.iter().map(|run| run.first).min().expect("an answer holds ids")
    }

    fn last(&self) -> u64 {
        self.runs.iter().map(|run| run.first + u64::from(run.count) - 1).max().expect("an answer holds ids")
    }
}

/// All calls of a test. Cheap to clone; one process saw them all, so one clock timed them.
#[derive(Debug, Clone)]
pub(crate) struct History {
    began: Instant,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), calls: Arc::default() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn add(&self, call: Call) {
        self.calls.lock().expect("no test has panicked in here").push(call);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no test has panicked in here").clone()
    }

    /// How many calls `node` answered that began after `since`.
    pub(crate) fn answered(&self, node: &str, since: Duration) -> usize {
        let calls = self.calls.lock().expect("no test has panicked in here");
        calls
            .iter()
            .rev()
            .take_while(|call| call.ended > since)
            .filter(|call| call.node == node && call.began > since)
            .count()
    }

    /// No id came twice.
    pub(crate) fn is_unique(&self) -> Result<(), String> {
        is_unique(&self.calls())
    }

    /// No id came twice, and of two calls that did not overlap the later one got the higher ids.
    pub(crate) fn is_increasing(&self) -> Result<(), String> {
        let calls = self.calls();
        is_unique(&calls)?;
        is_ordered(&calls)
    }
}

fn is_unique(calls: &[Call]) -> Result<(), String> {
    let mut seen: BTreeMap<u64, (u64, &Call)> = BTreeMap::new();
    for call in calls {
        for run in &call.runs {
            let end = run.first + u64::from(run.count);
            if let Some((_, (other_end, other))) = seen.range(..end).next_back()
                && *other_end > run.first
            {
                return Err(format!("an id twice:\n  {call:?}\n  {other:?}"));
            }
            seen.insert(run.first, (end, call));
        }
    }
    Ok(())
}

fn is_ordered(calls: &[Call]) -> Result<(), String> {
    let mut by_end: Vec<&Call> = calls.iter().collect();
    by_end.sort_by_key(|call| call.ended);
    let mut by_begin: Vec<&Call> = calls.iter().collect();
    by_begin.sort_by_key(|call| call.began);
    let mut ended = by_end.into_iter().peekable();
    // Of all calls that had ended when this one began, the one with the highest id.
    let mut highest: Option<&Call> = None;
    for call in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < call.began) {
            if highest.is_none_or(|highest| before.last() > highest.last()) {
                highest = Some(before);
            }
        }
        if let Some(before) = highest.filter(|before| before.last() >= call.first()) {
            return Err(format!("ids went back:\n  {before:?}\n  {call:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(calls: &[(u64, u64, u64, u32)]) -> History {
        let history = History::new();
        for (began, ended, first, count) in calls {
            history.add(Call {
                node: "idgen-1".into(),
                began: Duration::from_millis(*began),
                ended: Duration::from_millis(*ended),
                runs: vec![Run { first: *first, count: *count }],
            });
        }
        history
    }

    #[test]
    fn calls_that_overlap_may_have_ids_in_any_order() {
        assert_eq!(history(&[(0, 10, 5, 1), (5, 12, 3, 2), (13, 14, 6, 1)]).is_increasing(), Ok(()));
        // The same moment is no order.
        assert_eq!(history(&[(0, 10, 5, 1), (10, 12, 3, 1)]).is_increasing(), Ok(()));
    }

    #[test]
    fn ids_that_go_back_are_found() {
        let broken = history(&[(0, 10, 5, 1), (11, 12, 4, 1)]);
        assert!(broken.is_increasing().expect_err("4 after 5").contains("went back"));
        assert_eq!(broken.is_unique(), Ok(()));
        // Not only between neighbours, and not only with the last one that ended.
        let broken = history(&[(0, 10, 90, 1), (0, 11, 5, 1), (1, 30, 200, 1), (12, 13, 80, 1)]);
        assert!(broken.is_increasing().is_err());
        // The last id of the earlier call counts, and the first of the later one.
        assert!(history(&[(0, 1, 5, 10), (2, 3, 14, 1)]).is_increasing().is_err());
    }

    #[test]
    fn an_id_that_comes_twice_is_found() {
        assert!(history(&[(0, 10, 5, 4), (0, 10, 8, 1)]).is_unique().is_err());
        assert!(history(&[(0, 10, 8, 1), (0, 10, 5, 4)]).is_unique().is_err());
        assert!(history(&[(0, 10, 5, 9), (0, 10, 6, 1)]).is_unique().is_err());
        assert_eq!(history(&[(0, 10, 5, 3), (0, 10, 8, 1)]).is_unique(), Ok(()));
    }

    #[test]
    fn answers_are_counted_from_a_moment_on() {
        let history = history(&[(0, 10, 5, 3), (11, 20, 8, 1), (9, 21, 9, 1)]);
        assert_eq!(history.answered("idgen-1", Duration::from_millis(10)), 1);
        assert_eq!(history.answered("idgen-2", Duration::ZERO), 0);
    }
}
