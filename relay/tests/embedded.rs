//! The embedded relay: the suite, also through the faulty wrapper with nothing on, and the queue's exact bound.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use relay::{EmbeddedRelay, Faults, FaultyRelay, Relay, conformance::Fixture};
use support::{Counters, publication, received};

const CAPACITY: usize = 256;

#[derive(Default)]
struct Embedded {
    relay: EmbeddedRelay,
    wrapped: bool,
}

impl Embedded {
    async fn plain() -> Self {
        Self { relay: EmbeddedRelay::new(CAPACITY), wrapped: false }
    }

    async fn wrapped() -> Self {
        Self { relay: EmbeddedRelay::new(CAPACITY), wrapped: true }
    }
}

#[async_trait]
impl Fixture for Embedded {
    async fn connect(&self) -> Arc<dyn Relay> {
        let relay = Arc::new(self.relay.clone());
        if self.wrapped { Arc::new(FaultyRelay::new(relay, Faults::default())) } else { relay }
    }

    fn queue_capacity(&self) -> usize {
        CAPACITY
    }
}

mod plain {
    relay::conformance!(super::Embedded::plain());
}

mod behind_no_faults {
    relay::conformance!(super::Embedded::wrapped());
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let counters = Counters::default();
    metrics::with_local_recorder(&counters, || {
        support::block_on(async {
            let relay = EmbeddedRelay::new(3);
            let mut subscription = relay.subscribe("spear-1").await.expect("a relay");
            let batch = (0..10).map(|number| publication("spear-1", number)).collect();
            relay.publish(batch).await.expect("a relay");
            assert_eq!(received(&mut subscription), [0, 1, 2], "the first ones have a place");
            relay.publish(vec![publication("spear-1", 10)]).await.expect("a relay");
            assert_eq!(received(&mut subscription), [10]);
        });
    });
    assert_eq!(counters.of("phalanx_relay_dropped_total", "spear-1"), 7);
}

#[tokio::test]
async fn a_capacity_of_nothing_is_one() {
    let relay = EmbeddedRelay::new(0);
    let mut subscription = relay.subscribe("spear-1").await.expect("a relay");
    relay.publish(vec![publication("spear-1", 1), publication("spear-1", 2)]).await.expect("a relay");
    assert_eq!(received(&mut subscription), [1]);
}
