//! What waits to be published: the queue of librdkafka's producer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};
use tokio::{sync::Notify, time};

use crate::{Publication, RelayError, topic::topic};

use super::{
    KafkaOptions,
    relay::{quiet_log, unavailable},
};

/// How long the first publications to a node are waited for, until it is known that its topic is there. No other publication waits.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Between two questions whether a topic that was missing is there by now.
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// How many nodes are remembered. Above it all are forgotten, and found again by their next publication.
const TARGETS_MAX: usize = 4_096;

/// Hands hints to the producer, which keeps their order and goes by itself: what the broker says of them is only counted.
pub(super) struct Outbox {
    producer: Arc<ThreadedProducer<Deliveries>>,
    prefix: String,
    publish_timeout: Duration,
    targets: Mutex<HashMap<Arc<str>, Arc<Target>>>,
}

/// A node that was published to.
struct Target {
    id: Arc<str>,
    topic: String,
    /// Whether the topic is known to be there.
    there: AtomicBool,
    /// Told whenever something becomes of a hint, until the topic is there.
    settled: Arc<Notify>,
    asked_at: Mutex<Option<Instant>>,
}

/// What becomes of the hints.
#[derive(Default)]
struct Deliveries {
    /// Whether the last one was published, so that an outage is logged once.
    failing: AtomicBool,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Target>;

    fn delivery(&self, result: &DeliveryResult<'_>, target: Arc<Target>) {
        match result {
            Ok(_) => {
                if !target.there.swap(true, Ordering::Relaxed) {
                    target.settled.notify_waiters();
                }
                if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("hints are published again");
                }
            }
            Err((error, _)) => {
                if is_unknown_topic(error) {
                    target.there.store(false, Ordering::Relaxed);
                } else {
                    target.lose(error);
                    if !self.failing.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "hints are not published; their targets will find the messages in the store");
                    }
                }
                target.settled.notify_waiters();
            }
        }
    }
}

impl Target {
    fn lose(&self, error: &KafkaError) {
        tracing::debug!(target = &*self.id, %error, "a hint is lost");
        metrics::counter!("phalanx_relay_unpublished_total", "target" => self.id.to_string()).increment(1);
    }

    /// Whether it may be asked now if the topic is there.
    fn may_ask(&self) -> bool {
        let mut asked_at = self.asked_at.lock();
        if asked_at.is_some_and(|asked_at| asked_at.elapsed() < ASK_PAUSE) {
            return false;
        }
        *asked_at = Some(Instant::now());
        true
    }
}

fn is_unknown_topic(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

impl Outbox {
    pub(super) fn new(options: &KafkaOptions) -> Result<Self, RelayError> {
        let producer = options
            .producer()
            .create_with_context::<_, ThreadedProducer<Deliveries>>(Deliveries::default())
            .map_err(|error| unavailable(&error))?;
        Ok(Self {
            producer: Arc::new(producer),
            prefix: options.topic_prefix.clone(),
            publish_timeout: options.publish_timeout,
            targets: Mutex::default(),
        })
    }

    /// Hands the batch over at the first poll. Waits only where it is not known yet whether the topic of a target is there.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`]: too much waits already.
    pub(super) async fn publish(self: &Arc<Self>, batch: Vec<Publication>) -> Result<(), RelayError> {
        let mut unsettled = Vec::new();
        let mut missing = Vec::new();
        let mut failure = None;
        for publication in batch {
            let target = self.target(&publication.target);
            // Before the hint is handed over, or its end could be missed.
            let settled =
                (!target.there.load(Ordering::Relaxed)).then(|| target.settled.clone().notified_owned());
            match self.hand_over(&target, &publication) {
                Ok(()) => unsettled.extend(settled),
                Err(error) if is_unknown_topic(&error) => {
                    target.there.store(false, Ordering::Relaxed);
                    if missing.iter().any(|(asked, _): &(Arc<Target>, _)| Arc::ptr_eq(asked, &target))
                        || target.may_ask()
                    {
                        missing.push((target, publication));
                    }
                }
                Err(error) => {
                    target.lose(&error);
                    failure = Some(error);
                }
            }
        }
        if !missing.is_empty() {
            // A future of its own, so that dropping this one does not lose what can still be published.
            let outbox = self.clone();
            let asked = tokio::task::spawn_blocking(move || outbox.ask(missing));
            if let Ok(Ok(lost)) = time::timeout(FIRST_WAIT, asked).await {
                failure = failure.or(lost);
            }
        }
        if !unsettled.is_empty() {
            // Whatever became of them by then: it is counted there.
            let all = async {
                for settled in unsettled {
                    settled.await;
                }
            };
            let _ = time::timeout(FIRST_WAIT, all).await;
        }
        failure.map_or(Ok(()), |error| Err(unavailable(&error)))
    }

    /// Asks whether topics that were missing are there by now, and hands over what is for those that are.
    fn ask(&self, missing: Vec<(Arc<Target>, Publication)>) -> Option<KafkaError> {
        let mut failure = None;
        let mut asked: Option<&Arc<Target>> = None;
        for (target, publication) in &missing {
            if !asked.is_some_and(|asked| Arc::ptr_eq(asked, target)) {
                if let Err(error) = self.producer.client().fetch_metadata(Some(&target.topic), FIRST_WAIT) {
                    tracing::debug!(%error, topic = target.topic, "it is not known whether a topic is there");
                }
                asked = Some(target);
            }
            match self.hand_over(target, publication) {
                Ok(()) => {}
                Err(error) if is_unknown_topic(&error) => {}
                Err(error) => {
                    target.lose(&error);
                    failure = Some(error);
                }
            }
        }
        failure
    }

    /// Waits until what was handed over is published, or lost for having waited too long.
    pub(super) async fn flush(&self) {
        let (producer, within) = (self.producer.clone(), self.publish_timeout);
        let flushed = tokio::task::spawn_blocking(move || producer.flush(within)).await;
        if let Ok(Err(error)) = flushed {
            tracing::debug!(%error, "hints are left that were not published");
        }
    }

    fn hand_over(&self, target: &Arc<Target>, publication: &Publication) -> Result<(), KafkaError> {
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(&target.topic, target.clone())
            .partition(0)
            .payload(&publication.bytes);
        self.producer.send(record).map_err(|(error, _)| error)
    }

    fn target(&self, id: &Arc<str>) -> Arc<Target> {
        let mut targets = self.targets.lock();
        if let Some(target) = targets.get(id) {
            return target.clone();
        }
        if targets.len() >= TARGETS_MAX {
            targets.clear();
        }
        let target = Arc::new(Target {
            id: id.clone(),
            topic: topic(&self.prefix, id),
            there: AtomicBool::new(false),
            settled: Arc::default(),
            asked_at: Mutex::default(),
        });
        targets.insert(id.clone(), target.clone());
        target
    }
}
