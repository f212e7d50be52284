//! The nodes' last reports.

use std::collections::BTreeMap;

use wire::{Incarnation, Role};

use super::Place;
use crate::{Report, Reports};

fn report(role: Role, node: &str, incarnation: u64, reported_at: i64) -> Report {
    let counters = BTreeMap::from([("sends".to_owned(), reported_at as f64 / 2.0)]);
    Report { role, node: node.into(), incarnation: Incarnation(incarnation), reported_at, counters }
}

async fn put(store: &impl Reports, report: &Report) {
    store.put_report(report.clone()).await.expect("the store works");
}

/// In place of the one before.
pub async fn the_last_report_of_each_node_is_kept(place: &impl Place) {
    let store = place.open().await;
    assert!(store.reports().await.expect("the store works").is_empty());
    let kept = [
        report(Role::Spear, "n-1", 2, 11),
        report(Role::Spear, "n-2", 1, 5),
        report(Role::Stat, "n-1", 1, 7),
    ];
    put(&store, &report(Role::Spear, "n-1", 1, 99)).await;
    put(&store, &report(Role::Spear, "n-1", 2, 10)).await;
    for report in &kept {
        put(&store, report).await;
    }
    let mut found = store.reports().await.expect("the store works");
    found.sort_unstable_by_key(|report| report.reported_at);
    assert_eq!(found, [kept[1].clone(), kept[2].clone(), kept[0].clone()]);
}

/// It would hide the new one.
pub async fn a_late_report_of_an_old_start_is_dropped(place: &impl Place) {
    let store = place.open().await;
    let new = report(Role::Idgen, "idgen-1", 2, 10);
    put(&store, &new).await;
    put(&store, &report(Role::Idgen, "idgen-1", 1, 20)).await;
    assert_eq!(store.reports().await.expect("the store works"), [new]);
}
