//! Sends every stored message to a topic, for archives, searches and analyses of the users' own.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | a consumer of the outboxes: messages become records, records go to the topic until they are taken |
//! | `settings.rs` | [`ExportSettings`]: the table `[stat.export]` |
//! | `record.rs` | a message as it stands in the topic |
//! | `topic.rs` | [`Topic`]: where records go; a file beside it for each kind |
//!
//! The position is what the store has as confirmed (`outbox/delivery.rs`): nothing is written beside it, so nothing can be between.

mod record;
mod settings;
mod topic;

#[cfg(feature = "kafka")]
mod kafka;
mod rocketmq;

use std::time::Duration;

use async_trait::async_trait;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use boot::{Cluster, NodeContext};
use store::{Consumer, StoreError};
use tokio::time;
use tokio_util::sync::CancellationToken;

pub use self::settings::{ExportKind, ExportSettings, ExportSettingsError};
use self::{record::Record, topic::Topic};
use crate::outbox::{self, Counters, Delivered, Delivery, Lag, Outage, Pace, Sink, What};

/// The consumer's name in the store. Never to be changed: what waits would be left behind.
const NAME: &str = "export";

/// The topic, and how often it is tried.
struct Export {
    topic: Box<dyn Topic>,
    pauses: ExponentialBuilder,
    longest_pause: Duration,
    counters: Counters,
    outage: Outage,
}

/// Takes part in the export until `stop`, and answers how much waits. Where none is set, does nothing, or lets what waits be forgotten.
///
/// # Errors
/// Settings that cannot be used.
pub(crate) fn start(
    settings: &ExportSettings,
    node: &NodeContext,
    cluster: &Cluster,
    stop: CancellationToken,
) -> anyhow::Result<Option<Lag>> {
    let (roster, store) = (cluster.roster.clone(), cluster.store.clone());
    let Some(topic) = topic::open(settings, cluster)? else {
        if settings.forget {
            boot::spawn(outbox::forget(NAME, store, stop));
        }
        return Ok(None);
    };
    let consumer =
        Consumer { name: NAME.into(), messages: true, presence: false, most: settings.queue_entries };
    let pace = Pace {
        batch_events: settings.batch_messages,
        batch_bytes: settings.batch_bytes,
        linger: Duration::from_millis(settings.linger_ms),
    };
    let counters = Counters::new(NAME, node.labels());
    tracing::info!(topic = topic.name(), "stored messages are exported");
    let longest_pause = Duration::from_millis(settings.retry_max_ms);
    let export = Export {
        topic,
        pauses: ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(settings.retry_min_ms))
            .with_max_delay(longest_pause)
            .without_max_times()
            .with_jitter(),
        longest_pause,
        outage: Outage::new(NAME, counters.clone()),
        counters: counters.clone(),
    };
    let delivery = Delivery::new(consumer, pace, export, counters.clone(), &*roster, store);
    delivery.start(node.id.clone(), roster, stop);
    Ok(Some(counters.lag()))
}

#[async_trait]
impl Sink for Export {
    type Event = Record;

    fn target(&self) -> &str {
        self.topic.name()
    }

    fn event(&self, what: &What) -> Result<Option<Record>, StoreError> {
        match what {
            What::Message(message) | What::Recalled(message) => {
                Record::of(message).map(Some).map_err(|error| StoreError::Corrupt(error.to_string()))
            }
            What::Presence(..) | What::Remember(..) | What::Gone | What::Nothing => Ok(None),
        }
    }

    /// Without end: what cannot be taken waits in the store, up to its bound.
    async fn deliver(&self, _id: &str, records: &[Record], yields: &CancellationToken) -> Delivered {
        let mut pauses = self.pauses.build();
        loop {
            match self.topic.publish(records).await {
                Ok(refused) => {
                    self.counters.given_up(refused);
                    self.outage.ends(self.topic.name());
                    return Delivered::Taken;
                }
                Err(why) => self.outage.goes_on(self.topic.name(), &why),
            }
            let pause = pauses.next().unwrap_or(self.longest_pause);
            if yields.run_until_cancelled(time::sleep(pause)).await.is_none() {
                return Delivered::Yielded;
            }
            self.counters.repeated.increment(1);
        }
    }
}
