//! Numbers from the publisher to the receiver, through whatever a relay may do.

mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use proptest::prelude::*;
use relay::{Arrival, EmbeddedRelay, Faults, FaultyRelay, Numbering, Publisher, Relay};
use support::within;
use wire::{Hint, Incarnation, NodeRef, Payload};

fn node(id: &str, incarnation: u64) -> NodeRef {
    NodeRef { id: id.into(), incarnation: Incarnation(incarnation) }
}

fn hint(publisher: NodeRef, number: u64) -> Hint {
    Hint { publisher, number, target_incarnation: Incarnation(1), payload: Payload::Probe(number) }
}

fn numbering() -> Numbering {
    Numbering::new(node("spear-1", 1))
}

/// Up to 200 numbers of a publisher, each dropped, sent once or up to three times, then moved by up to `shift` places.
fn arrivals(shift: usize) -> impl Strategy<Value = Vec<u64>> {
    let copies = prop::collection::vec((0..4_usize, 0..=shift, 0..=shift, 0..=shift), 1..200);
    copies.prop_map(|copies| {
        let mut order: Vec<(usize, u64)> = Vec::new();
        for (at, (count, first, second, third)) in copies.into_iter().enumerate() {
            let moved = [first, second, third].into_iter().take(count);
            order.extend(moved.map(|by| (at + by, at as u64 + 1)));
        }
        order.sort_by_key(|(at, _)| *at);
        order.into_iter().map(|(_, number)| number).collect()
    })
}

proptest! {
    #[test]
    fn each_number_is_fresh_once_and_every_hole_is_reported(before in 0..3_000_u64, numbers in arrivals(40)) {
        let mut numbering = numbering();
        for number in 1..=before {
            prop_assert_eq!(numbering.accept(&hint(node("spear-2", 1), number)), Arrival::Next);
        }
        let (mut fresh, mut reported, mut late, mut highest) = (HashSet::new(), 0, 0, before);
        for number in numbers.into_iter().map(|number| before + number) {
            let arrival = numbering.accept(&hint(node("spear-2", 1), number));
            prop_assert_eq!(arrival.is_fresh(), fresh.insert(number), "{} is {:?}", number, arrival);
            match arrival {
                Arrival::Next => prop_assert_eq!(number, highest + 1),
                Arrival::Hole { missing } => {
                    prop_assert_eq!(missing, number - highest - 1);
                    reported += missing;
                }
                Arrival::Late => late += 1,
                Arrival::Repeat => {}
                Arrival::Foreign => prop_assert!(false, "it is for this node"),
            }
            highest = highest.max(number);
        }
        prop_assert_eq!(reported - late, highest - before - fresh.len() as u64, "what never came was reported");
    }

    #[test]
    fn publishers_and_their_starts_do_not_mix(order in prop::collection::vec((0..3_u64, 1..3_u64, 1..30_u64), 1..300)) {
        let mut together = numbering();
        let mut apart = HashMap::new();
        for (publisher, incarnation, number) in order {
            let hint = hint(node(&format!("spear-{publisher}"), incarnation), number);
            let alone = apart.entry(hint.publisher.clone()).or_insert_with(numbering);
            prop_assert_eq!(together.accept(&hint), alone.accept(&hint));
        }
    }

    #[test]
    fn any_numbers_at_all_are_fresh_at_most_once(numbers in prop::collection::vec(any_number(), 1..300)) {
        let mut numbering = numbering();
        let mut fresh = HashSet::new();
        for number in numbers {
            let arrival = numbering.accept(&hint(node("spear-2", 1), number));
            prop_assert!(!arrival.is_fresh() || fresh.insert(number), "{} again: {:?}", number, arrival);
        }
    }
}

/// Near the window's edges, and at both ends.
fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_000_u64, 1_000..1_050_u64, u64::MAX - 2_000..=u64::MAX]
}

#[test]
fn what_is_for_another_start_is_foreign_and_leaves_no_trace() {
    let mut numbering = numbering();
    for incarnation in [0, 2] {
        let foreign = Hint { target_incarnation: Incarnation(incarnation), ..hint(node("spear-2", 1), 1) };
        assert_eq!(numbering.accept(&foreign), Arrival::Foreign);
    }
    assert_eq!(numbering.accept(&hint(node("spear-2", 1), 1)), Arrival::Next);
}

#[test]
fn a_publishers_next_start_begins_anew_and_its_last_hints_still_count() {
    let mut numbering = numbering();
    for number in 1..=3 {
        assert_eq!(numbering.accept(&hint(node("spear-2", 5), number)), Arrival::Next);
    }
    assert_eq!(numbering.accept(&hint(node("spear-2", 6), 1)), Arrival::Next);
    assert_eq!(numbering.accept(&hint(node("spear-2", 5), 3)), Arrival::Repeat);
    assert_eq!(numbering.accept(&hint(node("spear-2", 5), 5)), Arrival::Hole { missing: 1 });
    assert_eq!(numbering.accept(&hint(node("spear-2", 6), 1)), Arrival::Repeat);
}

#[test]
fn the_quietest_publisher_is_forgotten_first() {
    let mut numbering = numbering();
    for publisher in 0..1_024 {
        numbering.accept(&hint(node(&format!("n{publisher}"), 1), 1));
    }
    numbering.accept(&hint(node("n0", 1), 2));
    numbering.accept(&hint(node("one more", 1), 1));
    assert_eq!(numbering.accept(&hint(node("n0", 1), 2)), Arrival::Repeat, "it was heard a moment ago");
    assert_eq!(numbering.accept(&hint(node("n1", 1), 1)), Arrival::Next, "it was quiet for longest");
}

/// A publisher and the hints that reach each of two targets.
struct Bench {
    publisher: Arc<Publisher>,
    subscription: relay::Subscription,
}

impl Bench {
    async fn new(faults: Faults) -> Self {
        let inner = Arc::new(EmbeddedRelay::new(100_000));
        let subscription = inner.subscribe("spear-1").await.expect("a relay");
        let relay = Arc::new(FaultyRelay::new(inner, faults));
        Self { publisher: Arc::new(Publisher::new(relay, node("spear-2", 3))), subscription }
    }

    async fn publish(&self, target: &NodeRef, says: u64) {
        let batch = vec![(target.clone(), Payload::Probe(says))];
        self.publisher.publish(batch).await.expect("a relay");
    }

    fn next(&mut self) -> Option<Hint> {
        Some(Hint::decode(self.subscription.hints.try_recv().ok()?).expect("our own bytes"))
    }

    fn numbers(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.next()).map(|hint| hint.number).collect()
    }
}

#[tokio::test]
async fn hints_are_stamped_and_numbered_for_each_target() {
    let mut bench = Bench::new(Faults::default()).await;
    let (one, other) = (node("spear-1", 1), node("spear-9", 1));
    let batch =
        vec![(one.clone(), Payload::Probe(7)), (other, Payload::Probe(8)), (one.clone(), Payload::Probe(9))];
    bench.publisher.publish(batch).await.expect("a relay");
    for (number, says) in [(1, 7), (2, 9)] {
        let expected = Hint {
            publisher: node("spear-2", 3),
            number,
            target_incarnation: one.incarnation,
            payload: Payload::Probe(says),
        };
        assert_eq!(bench.next(), Some(expected));
    }
    assert_eq!(bench.next(), None);
    assert_eq!(bench.publisher.me(), &node("spear-2", 3));
}

#[tokio::test]
async fn a_targets_next_start_is_counted_from_its_own_beginning() {
    let mut bench = Bench::new(Faults::default()).await;
    let (old, new) = (node("spear-1", 1), node("spear-1", 2));
    for target in [&old, &old, &new, &new, &old, &new] {
        bench.publish(target, 0).await;
    }
    let mut last = HashMap::new();
    while let Some(hint) = bench.next() {
        let before = last.insert(hint.target_incarnation, hint.number).unwrap_or(0);
        assert!(hint.number > before, "{} after {before} would be taken for a repeat", hint.number);
    }
    assert_eq!(last[&new.incarnation], 5, "3, 4 and 5: the old one had 2, and its return disturbs nothing");
}

#[tokio::test]
async fn a_target_that_was_forgotten_never_sees_a_number_again() {
    let mut bench = Bench::new(Faults::default()).await;
    let target = node("spear-1", 1);
    for _ in 0..5 {
        bench.publish(&target, 0).await;
    }
    let others = (0..5_000).map(|other| (node(&format!("n{other}"), 1), Payload::Probe(0))).collect();
    bench.publisher.publish(others).await.expect("a relay");
    bench.publish(&target, 0).await;
    assert_eq!(bench.numbers(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publications_at_once_do_not_overtake_each_other() {
    let mut bench = Bench::new(Faults::default()).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let publisher = bench.publisher.clone();
            tokio::spawn(async move {
                for _ in 0..2_000 {
                    let batch = vec![(node("spear-1", 1), Payload::Probe(0))];
                    publisher.publish(batch).await.expect("a relay");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        within(task).await.expect("it does not panic");
    }
    assert!(bench.numbers().into_iter().eq(1..=16_000), "in order, none missing");
}

const HINTS: u64 = 900;

#[tokio::test]
async fn through_a_bad_relay_each_hint_is_fresh_at_most_once() {
    let faults =
        Faults { drop_every: 9, repeat_every: 4, delay_every: 6, delay_ms: 2, reorder_every: 5, seed: 3 };
    let mut bench = Bench::new(faults).await;
    let mut numbering = numbering();
    let (mut fresh, mut missing) = (HashSet::new(), 0);
    let target = node("spear-1", 1);
    // Fewer than the window: however late a hint comes, it is still told from a repeat.
    for says in 0..HINTS {
        bench.publish(&target, says).await;
        if says % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    drop(bench.publisher);
    // With the publisher gone, the queue closes when the last hint that is kept back has been published.
    while let Some(bytes) = within(bench.subscription.hints.recv()).await {
        let hint = Hint::decode(bytes).expect("our own bytes");
        let arrival = numbering.accept(&hint);
        match arrival {
            Arrival::Hole { missing: now } => missing += now,
            Arrival::Late => missing -= 1,
            _ => {}
        }
        if arrival.is_fresh() {
            assert!(fresh.insert(hint.payload_number()), "{} is fresh twice", hint.number);
        }
    }
    let lost = HINTS - fresh.len() as u64;
    assert!((60..150).contains(&lost), "about a ninth is dropped, not {lost}");
    assert!(lost - missing <= 20, "{missing} of {lost} were reported; only those at the very end cannot be");
}

trait PayloadNumber {
    fn payload_number(&self) -> u64;
}

impl PayloadNumber for Hint {
    fn payload_number(&self) -> u64 {
        match self.payload {
            Payload::Probe(number) => number,
            _ => panic!("these tests send probes only"),
        }
    }
}
