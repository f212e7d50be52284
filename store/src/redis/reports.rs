//! [`Reports`] in Redis: one hash, role and node → report.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redis_link::Call;
use wire::Incarnation;

use super::{RedisStore, failure::unreadable, script, values};
use crate::{Report, Reports, StoreError};

/// Nodes whose report is kept; beyond, the one that was reported longest ago is dropped.
const NODES: usize = 4_096;
/// The only format so far: `1 <incarnation> <reported_at> <counters as JSON>`.
const VERSION: u64 = 1;

impl RedisStore {
    fn reports_key(&self) -> String {
        self.keys.partition(0).key("reports")
    }
}

#[async_trait]
impl Reports for RedisStore {
    async fn put_report(&self, report: Report) -> Result<(), StoreError> {
        let Report { role, node, incarnation, reported_at, counters } = report;
        // JSON has no others.
        let counters: BTreeMap<String, f64> =
            counters.into_iter().filter(|(_, value)| value.is_finite()).collect();
        let counters =
            serde_json::to_string(&counters).map_err(|error| unreadable("a report's counters", &error))?;
        let (key, field) = (self.reports_key(), format!("{role}/{node}"));
        let report = format!("{VERSION} {incarnation} {reported_at} {counters}");
        let arguments = [field, report, incarnation.to_string(), NODES.to_string()];
        let call = Call::script(&key, script!("put_report.lua"), &[&key], &arguments);
        self.note(vec![call]).await.map(drop)
    }

    async fn reports(&self) -> Result<Vec<Report>, StoreError> {
        let key = self.reports_key();
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let answers = self.read(vec![Call::command(&key, command)]).await?;
        let mut reports = Vec::new();
        for (node, report) in values::pairs(values::next(&mut answers.into_iter())?)? {
            reports.extend(read(&values::text(node)?, &values::text(report)?)?);
        }
        Ok(reports)
    }
}

/// `None` where a newer program wrote it: its nodes and ours may be side by side.
fn read(place: &str, text: &str) -> Result<Option<Report>, StoreError> {
    let broken = || unreadable(&format!("the report of {place}"), &text);
    let mut parts = text.splitn(4, ' ');
    let mut next = || parts.next().ok_or_else(broken);
    if values::parse::<u64>(next()?)? > VERSION {
        return Ok(None);
    }
    let incarnation = Incarnation(values::parse(next()?)?);
    let reported_at = values::parse(next()?)?;
    let counters = serde_json::from_str(next()?).map_err(|_| broken())?;
    let (role, node) = place.split_once('/').ok_or_else(broken)?;
    let Ok(role) = role.parse() else { return Ok(None) };
    Ok(Some(Report { role, node: node.to_owned(), incarnation, reported_at, counters }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_a_newer_program_is_passed_over() {
        assert!(read("spear/spear-1", "1 7 8 {}").expect("readable").is_some());
        assert!(read("spear/spear-1", "2 whatever").expect("passed over").is_none());
        assert!(read("oracle/oracle-1", "1 7 8 {}").expect("passed over").is_none());
        for (place, text) in
            [("spear-1", "1 7 8 {}"), ("spear/spear-1", "1 7 8"), ("spear/spear-1", "1 7 8 x")]
        {
            assert!(matches!(read(place, text), Err(StoreError::Corrupt(_))), "{place} {text}");
        }
    }
}
