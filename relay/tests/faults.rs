//! Each fault of the faulty wrapper, and that it is counted.

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use relay::{EmbeddedRelay, Faults, FaultyRelay, Relay, Subscription};
use support::{Counters, block_on, publication, receive, received, within};

struct Bench {
    relay: FaultyRelay,
    one: Subscription,
    other: Subscription,
}

impl Bench {
    async fn new(faults: Faults) -> Self {
        let inner = Arc::new(EmbeddedRelay::default());
        let (one, other) = (inner.subscribe("one").await, inner.subscribe("other").await);
        let relay = FaultyRelay::new(inner, faults);
        Self { relay, one: one.expect("a relay"), other: other.expect("a relay") }
    }

    async fn publish(&self, target: &str, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.relay.publish(vec![publication(target, number)]).await.expect("a relay");
        }
    }
}

fn counted(fault: &str, faults: Faults, test: impl AsyncFnOnce(Bench)) -> u64 {
    let counters = Counters::default();
    metrics::with_local_recorder(&counters, || block_on(async { test(Bench::new(faults).await).await }));
    counters.of("phalanx_relay_faults_total", fault)
}

#[test]
fn every_third_is_dropped_for_each_target() {
    let faults = Faults { drop_every: 3, ..Faults::default() };
    let dropped = counted("drop", faults, async |mut bench| {
        for number in 1..=7 {
            bench.publish("one", [number]).await;
            bench.publish("other", [number]).await;
        }
        assert_eq!(received(&mut bench.one), [1, 2, 4, 5, 7]);
        assert_eq!(received(&mut bench.other), [1, 2, 4, 5, 7], "each target has a count of its own");
    });
    assert_eq!(dropped, 4);
}

#[test]
fn every_second_is_repeated() {
    let faults = Faults { repeat_every: 2, ..Faults::default() };
    let repeated = counted("repeat", faults, async |mut bench| {
        bench.publish("one", 1..=5).await;
        assert_eq!(received(&mut bench.one), [1, 2, 2, 3, 4, 4, 5]);
    });
    assert_eq!(repeated, 2);
}

#[test]
fn every_fourth_comes_later() {
    let faults = Faults { delay_every: 4, delay_ms: 60, ..Faults::default() };
    let delayed = counted("delay", faults, async |mut bench| {
        let began_at = Instant::now();
        bench.publish("one", 1..=6).await;
        assert_eq!(received(&mut bench.one), [1, 2, 3, 5, 6]);
        assert_eq!(receive(&mut bench.one, 1).await, [4]);
        assert!(began_at.elapsed() >= Duration::from_millis(60), "it came too early");
    });
    assert_eq!(delayed, 1);
}

#[test]
fn every_third_changes_places_with_the_next() {
    let faults = Faults { reorder_every: 3, ..Faults::default() };
    let reordered = counted("reorder", faults, async |mut bench| {
        bench.publish("one", 1..=7).await;
        assert_eq!(received(&mut bench.one), [1, 2, 4, 3, 5, 7, 6]);
    });
    assert_eq!(reordered, 2);
}

#[test]
fn one_that_nothing_overtakes_comes_all_the_same() {
    let faults = Faults { reorder_every: 1, ..Faults::default() };
    let reordered = counted("reorder", faults, async |mut bench| {
        bench.publish("one", [1]).await;
        assert_eq!(received(&mut bench.one), [0_u64; 0]);
        assert_eq!(receive(&mut bench.one, 1).await, [1]);
        bench.publish("one", [2]).await;
        assert_eq!(receive(&mut bench.one, 1).await, [2]);
    });
    assert_eq!(reordered, 2);
}

#[test]
fn dropping_goes_before_the_other_faults() {
    let faults =
        Faults { drop_every: 4, repeat_every: 2, reorder_every: 2, delay_every: 2, ..Faults::default() };
    let dropped = counted("drop", faults, async |mut bench| {
        bench.publish("one", 1..=5).await;
        assert_eq!(received(&mut bench.one), [1, 2, 2, 3, 5]);
    });
    assert_eq!(dropped, 1);
}

#[tokio::test]
async fn a_seed_strikes_at_random_and_the_same_each_time() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let mut bench = Bench::new(Faults { drop_every: 3, seed, ..Faults::default() }).await;
        bench.publish("one", 0..3_000).await;
        runs.push(received(&mut bench.one));
    }
    assert_eq!(runs[0], runs[1], "one seed does the same again");
    assert_ne!(runs[0], runs[2], "another seed does something else");
    assert!((1_800..2_200).contains(&runs[0].len()), "about two thirds arrive, not {}", runs[0].len());
}

#[tokio::test]
async fn nothing_is_lost_but_what_is_dropped_on_purpose() {
    let faults = Faults {
        repeat_every: 5,
        delay_every: 7,
        delay_ms: 1,
        reorder_every: 3,
        seed: 11,
        ..Faults::default()
    };
    let mut bench = Bench::new(faults).await;
    bench.publish("one", 0..2_000).await;
    let mut missing: std::collections::BTreeSet<u64> = (0..2_000).collect();
    within(async {
        while !missing.is_empty() {
            for number in receive(&mut bench.one, 1).await {
                missing.remove(&number);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn more_targets_than_it_counts_for_lose_nothing() {
    let inner = Arc::new(EmbeddedRelay::default());
    let mut subscription = inner.subscribe("one").await.expect("a relay");
    let relay = FaultyRelay::new(inner, Faults { reorder_every: 1, ..Faults::default() });
    relay.publish(vec![publication("one", 1)]).await.expect("a relay");
    for number in 0..3_000 {
        relay.publish(vec![publication(&format!("spear-{number}"), 1)]).await.expect("a relay");
    }
    assert_eq!(receive(&mut subscription, 1).await, [1]);
}

#[test]
fn settings_with_an_unknown_key_are_refused() {
    let faults: Faults = serde_json::from_str(r#"{"drop_every": 3, "seed": 9}"#).expect("known keys");
    assert_eq!(faults, Faults { drop_every: 3, seed: 9, ..Faults::default() });
    assert!(!faults.is_off() && Faults::default().is_off());
    let refused = serde_json::from_str::<Faults>(r#"{"drop_evry": 3}"#).expect_err("an unknown key");
    assert!(refused.to_string().contains("drop_evry"), "{refused}");
}
