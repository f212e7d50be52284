//! What the tests of this crate share.

#![allow(dead_code)] // each test file uses a part of it

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use relay::{Publication, Subscription};

/// How long a test waits for what must come.
const BUDGET: Duration = Duration::from_secs(20);

/// Runs a test on this thread, where a local recorder sees what it counts.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

/// Waits, and panics when it does not come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BUDGET, future).await.expect("it comes in time")
}

/// A publication that holds a number.
pub(crate) fn publication(target: &str, number: u64) -> Publication {
    Publication { target: target.into(), bytes: number.to_string().into() }
}

/// The numbers that have arrived by now.
pub(crate) fn received(subscription: &mut Subscription) -> Vec<u64> {
    std::iter::from_fn(|| subscription.hints.try_recv().ok()).map(|hint| number(&hint)).collect()
}

/// Waits for this many numbers.
pub(crate) async fn receive(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let hint = within(subscription.hints.recv()).await.expect("nobody replaces it");
        numbers.push(number(&hint));
    }
    numbers
}

fn number(hint: &[u8]) -> u64 {
    String::from_utf8_lossy(hint).parse().expect("a number")
}

/// Keeps counters, by name and the value of their first label.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<HashMap<Name, Arc<AtomicU64>>>>);

type Name = (String, String);

impl Counters {
    /// What one of them is at; 0 where nothing was counted.
    pub(crate) fn of(&self, name: &str, label: &str) -> u64 {
        let counters = self.0.lock();
        counters.get(&(name.into(), label.into())).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let label = key.labels().next().map(|label| label.value().to_owned()).unwrap_or_default();
        Counter::from_arc(self.0.lock().entry((key.name().to_owned(), label)).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
