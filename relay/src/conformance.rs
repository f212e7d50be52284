//! What every implementation must do. [`conformance!`](crate::conformance!) makes a test of each case.
//!
//! A case panics where the implementation is wrong. It waits for what must come, up to 20 seconds, so it is quick where the
//! implementation is.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Link, Publication, Relay, Subscription};

/// How long a case waits for what must come.
const BUDGET: Duration = Duration::from_secs(20);

/// One relay that nobody else uses, made anew for each case.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The relay as one more process would have it, with a connection of its own where there are connections.
    async fn connect(&self) -> Arc<dyn Relay>;

    /// How many hints a subscription holds before further ones are dropped.
    fn queue_capacity(&self) -> usize;
}

/// Makes a test of each case of the suite: `relay::conformance!(my_fixture())`, where `my_fixture` is an async function
/// that gives a [`Fixture`]. The caller needs tokio with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance! { $fixture;
            a_hint_reaches_its_target_only,
            a_new_subscription_is_up_and_empty,
            hints_of_one_publisher_keep_their_order,
            batches_take_their_place_when_first_polled,
            hints_of_many_publishers_all_arrive,
            a_publisher_that_ends_leaves_nothing_untold,
            a_later_subscription_replaces_the_former,
            a_node_may_subscribe_again_after_it_left,
            nobody_need_subscribe,
            a_batch_may_have_many_targets,
            an_empty_batch_is_nothing,
            large_and_empty_hints_arrive_whole,
            a_node_reaches_itself,
            a_full_queue_drops_without_blocking,
            a_full_queue_holds_up_nobody_else,
        }
    };
    ($fixture:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$case($fixture.await).await;
            }
        )*
    };
}

fn publication(target: &str, bytes: impl Into<Bytes>) -> Publication {
    Publication { target: target.into(), bytes: bytes.into() }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BUDGET, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: did not come within {BUDGET:?}"),
    }
}

async fn subscribe(relay: &Arc<dyn Relay>, id: &str) -> Subscription {
    within("a subscription", relay.subscribe(id)).await.expect("the relay is there")
}

async fn publish(relay: &Arc<dyn Relay>, batch: Vec<Publication>) {
    within("a publication", relay.publish(batch)).await.expect("the relay is there");
}

async fn next(subscription: &mut Subscription) -> Bytes {
    within("a hint", subscription.hints.recv()).await.expect("nobody has replaced the subscription")
}

/// The number that a hint of these cases holds.
fn number(hint: &Bytes) -> usize {
    String::from_utf8_lossy(hint).parse().expect("a number")
}

/// A hint is delivered to the node that it is for, and to no other.
pub async fn a_hint_reaches_its_target_only(fixture: impl Fixture) {
    let (publisher, receiver) = (fixture.connect().await, fixture.connect().await);
    let mut one = subscribe(&receiver, "spear-1").await;
    let mut other = subscribe(&receiver, "spear-10").await;
    publish(&publisher, vec![publication("spear-1", "for one")]).await;
    publish(&publisher, vec![publication("spear-10", "for the other")]).await;
    assert_eq!(next(&mut one).await, "for one");
    assert_eq!(next(&mut other).await, "for the other");
    publish(&publisher, vec![publication("spear-1", "again"), publication("spear-10", "again")]).await;
    assert_eq!(next(&mut one).await, "again");
    assert_eq!(next(&mut other).await, "again");
}

/// What was published before is not for this subscription.
pub async fn a_new_subscription_is_up_and_empty(fixture: impl Fixture) {
    let relay = fixture.connect().await;
    publish(&relay, vec![publication("spear-1", "before")]).await;
    let mut subscription = subscribe(&relay, "spear-1").await;
    assert_eq!(*subscription.link.borrow(), Link::Up);
    publish(&relay, vec![publication("spear-1", "after")]).await;
    assert_eq!(next(&mut subscription).await, "after");
    assert_eq!(*subscription.link.borrow(), Link::Up);
}

/// Within a batch and from batch to batch.
pub async fn hints_of_one_publisher_keep_their_order(fixture: impl Fixture) {
    let (publisher, receiver) = (fixture.connect().await, fixture.connect().await);
    let mut subscription = subscribe(&receiver, "spear-1").await;
    let many = fixture.queue_capacity().min(1_000);
    for batch in (0..many).collect::<Vec<_>>().chunks(7) {
        let batch = batch.iter().map(|number| publication("spear-1", number.to_string())).collect();
        publish(&publisher, batch).await;
    }
    for expected in 0..many {
        assert_eq!(number(&next(&mut subscription).await), expected);
    }
}

/// Batches that are under way at once arrive in the order in which they were begun.
pub async fn batches_take_their_place_when_first_polled(fixture: impl Fixture) {
    let (publisher, receiver) = (fixture.connect().await, fixture.connect().await);
    let mut subscription = subscribe(&receiver, "spear-1").await;
    let mut under_way = Vec::new();
    for number in 0..20 {
        let mut publishing = publisher.publish(vec![publication("spear-1", number.to_string())]);
        let done = std::future::poll_fn(|context| {
            std::task::Poll::Ready(
                publishing.as_mut().poll(context).map(|published| published.expect("a relay")),
            )
        });
        if done.await.is_pending() {
            under_way.push(publishing);
        }
    }
    for publishing in under_way.into_iter().rev() {
        within("a publication", publishing).await.expect("the relay is there");
    }
    for expected in 0..20 {
        assert_eq!(number(&next(&mut subscription).await), expected);
    }
}

/// Each publisher's hints keep their order, whatever the others do.
pub async fn hints_of_many_publishers_all_arrive(fixture: impl Fixture) {
    let mut subscription = subscribe(&fixture.connect().await, "spear-1").await;
    let each = (fixture.queue_capacity() / 8).min(50);
    let mut publishers = Vec::new();
    for name in 0..8 {
        let relay = fixture.connect().await;
        publishers.push(tokio::spawn(async move {
            for number in 0..each {
                publish(&relay, vec![publication("spear-1", format!("{name} {number}"))]).await;
            }
            within("a flush", relay.flush()).await;
        }));
    }
    let mut expected = HashMap::<String, usize>::new();
    for _ in 0..8 * each {
        let hint = next(&mut subscription).await;
        let text = String::from_utf8_lossy(&hint);
        let (name, number) = text.split_once(' ').expect("two parts");
        let due = expected.entry(name.to_owned()).or_default();
        assert_eq!(number.parse(), Ok(*due), "of publisher {name}");
        *due += 1;
    }
    for publisher in publishers {
        within("the end of a publisher", publisher).await.expect("it does not panic");
    }
}

/// Once it has flushed.
pub async fn a_publisher_that_ends_leaves_nothing_untold(fixture: impl Fixture) {
    let mut subscription = subscribe(&fixture.connect().await, "spear-1").await;
    let (publisher, count) = (fixture.connect().await, fixture.queue_capacity().min(200));
    for number in 0..count {
        // So many bytes that not all are gone by then.
        publish(&publisher, vec![publication("spear-1", format!("{number:0>60000}"))]).await;
    }
    within("a flush", publisher.flush()).await;
    drop(publisher);
    for expected in 0..count {
        assert_eq!(number(&next(&mut subscription).await), expected);
    }
}

/// The former subscription ends, the later one receives.
pub async fn a_later_subscription_replaces_the_former(fixture: impl Fixture) {
    let (relay, publisher) = (fixture.connect().await, fixture.connect().await);
    let mut former = subscribe(&relay, "spear-1").await;
    publish(&publisher, vec![publication("spear-1", "first")]).await;
    assert_eq!(next(&mut former).await, "first");
    let mut later = subscribe(&relay, "spear-1").await;
    publish(&publisher, vec![publication("spear-1", "second")]).await;
    assert_eq!(next(&mut later).await, "second");
    assert_eq!(within("the end of the former one", former.hints.recv()).await, None);
}

/// A subscription that was dropped leaves nothing behind that is in the way.
pub async fn a_node_may_subscribe_again_after_it_left(fixture: impl Fixture) {
    let relay = fixture.connect().await;
    for round in 0..5 {
        let mut subscription = subscribe(&relay, "spear-1").await;
        publish(&relay, vec![publication("spear-1", round.to_string())]).await;
        assert_eq!(number(&next(&mut subscription).await), round);
        drop(subscription);
        publish(&relay, vec![publication("spear-1", "to nobody")]).await;
    }
}

/// A dead or unknown target is no error, and does not keep the rest of the batch back.
pub async fn nobody_need_subscribe(fixture: impl Fixture) {
    let relay = fixture.connect().await;
    let mut subscription = subscribe(&relay, "spear-1").await;
    let batch =
        vec![publication("nobody", "lost"), publication("spear-1", "found"), publication("nobody", "lost")];
    publish(&relay, batch).await;
    assert_eq!(next(&mut subscription).await, "found");
}

/// One batch goes to many nodes, several of its hints to the same one.
pub async fn a_batch_may_have_many_targets(fixture: impl Fixture) {
    let (relay, publisher) = (fixture.connect().await, fixture.connect().await);
    let mut subscriptions = Vec::new();
    for node in 0..30 {
        subscriptions.push(subscribe(&relay, &format!("spear-{node}")).await);
    }
    let batch = (0..90).map(|hint| publication(&format!("spear-{}", hint % 30), hint.to_string())).collect();
    publish(&publisher, batch).await;
    for (node, subscription) in subscriptions.iter_mut().enumerate() {
        for expected in [node, node + 30, node + 60] {
            assert_eq!(number(&next(subscription).await), expected);
        }
    }
}

/// It is neither an error nor a hint.
pub async fn an_empty_batch_is_nothing(fixture: impl Fixture) {
    let relay = fixture.connect().await;
    let mut subscription = subscribe(&relay, "spear-1").await;
    publish(&relay, Vec::new()).await;
    publish(&relay, vec![publication("spear-1", "something")]).await;
    assert_eq!(next(&mut subscription).await, "something");
}

/// From nothing to above the largest message; any byte may stand in it.
pub async fn large_and_empty_hints_arrive_whole(fixture: impl Fixture) {
    let relay = fixture.connect().await;
    let mut subscription = subscribe(&relay, "spear-1").await;
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 300_000] {
        let sent: Bytes = (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
        publish(&relay, vec![publication("spear-1", sent.clone())]).await;
        assert!(next(&mut subscription).await == sent, "{size} bytes arrive as they were sent");
    }
}

/// Spears probe their own path.
pub async fn a_node_reaches_itself(fixture: impl Fixture) {
    let relay = fixture.connect().await;
    let mut own = subscribe(&relay, "spear-1").await;
    publish(&relay, vec![publication("spear-1", "probe")]).await;
    assert_eq!(next(&mut own).await, "probe");
}

/// A node that does not read costs hints, never time; when it reads again, what is published then arrives.
pub async fn a_full_queue_drops_without_blocking(fixture: impl Fixture) {
    let (relay, publisher) = (fixture.connect().await, fixture.connect().await);
    let mut subscription = subscribe(&relay, "spear-1").await;
    let many = fixture.queue_capacity() * 2 + 100;
    for batch in (0..many).collect::<Vec<_>>().chunks(64) {
        let batch = batch.iter().map(|number| publication("spear-1", number.to_string())).collect();
        publish(&publisher, batch).await;
    }
    // The first ones have a place for sure; how many follow depends on how quickly the queue filled.
    for expected in 0..fixture.queue_capacity() {
        assert_eq!(number(&next(&mut subscription).await), expected);
    }
    // What is still on its way may fill the queue once more, so this is offered until it arrives.
    within("one that was published later", async {
        let mut last = fixture.queue_capacity() - 1;
        loop {
            publish(&publisher, vec![publication("spear-1", many.to_string())]).await;
            while let Ok(Some(hint)) =
                tokio::time::timeout(Duration::from_millis(50), subscription.hints.recv()).await
            {
                let number = number(&hint);
                assert!(number >= last, "{number} after {last}");
                last = number;
            }
            if last == many {
                return;
            }
        }
    })
    .await;
    assert_eq!(*subscription.link.borrow(), Link::Up, "a full queue is no lost connection");
}

/// The other targets of the same batches receive all of theirs.
pub async fn a_full_queue_holds_up_nobody_else(fixture: impl Fixture) {
    let (relay, publisher) = (fixture.connect().await, fixture.connect().await);
    let _stalled = subscribe(&relay, "stalled").await;
    let mut quick = subscribe(&relay, "quick").await;
    let many = fixture.queue_capacity() + 100;
    for expected in 0..many {
        let text = expected.to_string();
        publish(&publisher, vec![publication("stalled", text.clone()), publication("quick", text)]).await;
        assert_eq!(number(&next(&mut quick).await), expected);
    }
}
