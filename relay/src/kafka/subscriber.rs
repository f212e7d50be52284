//! Reads the topic of one node, from the end that it had when the node subscribed.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    ClientContext, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    consumer::{Consumer as _, ConsumerContext, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::{task, time};

use crate::{RelayError, inbox::Inbox};

use super::{
    KafkaOptions,
    client::HINT_BYTES_MAX,
    relay::{quiet_log, unavailable},
};

/// Between two looks whether the broker still answers: one that is frozen, or cut off, closes no connection.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Between two questions where a topic ends, while it has no leader.
const LOOK: Duration = Duration::from_millis(20);
/// How long making a topic may take, where the response's time is not longer: a broker that has just started takes seconds.
const MAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A topic has one partition: all that is published to a node has one order.
const PARTITION: i32 = 0;
/// How large a segment of a topic may become, in bytes: what is old goes by whole segments, and none may be smaller than a hint.
const SEGMENT_BYTES: &str = "16777216";

type Consumer = StreamConsumer<Quiet>;

/// Says nothing at the levels that people read.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Quiet {}

/// A consumer that has its partition.
pub(super) struct Subscriber {
    consumer: Arc<Consumer>,
    topic: Arc<str>,
    response_timeout: Duration,
    /// The offset of the next hint.
    next: i64,
}

impl Subscriber {
    /// Makes the topic where it is missing, and reads it from its end. Takes at most some four times the response's time, or 20 s longer
    /// where a topic is made.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`].
    pub(super) async fn open(options: &KafkaOptions, topic: Arc<str>) -> Result<Self, RelayError> {
        let timeout = options.response_timeout;
        let config = options.consumer(&topic);
        let consumer = blocking(move || config.create_with_context::<_, Consumer>(Quiet)).await?;
        let consumer = Closing(Arc::new(consumer));
        if !is_there(&consumer.0, &topic, timeout).await? {
            make(options, &topic).await?;
        }
        // A topic that was just made has no leader at once, nor has one whose broker has just died.
        let deadline = Instant::now() + timeout.max(MAKE_TIMEOUT);
        let next = loop {
            match end(&consumer.0, &topic, timeout).await {
                Ok(end) => break end,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => time::sleep(LOOK).await,
            }
        };
        let mut assignment = TopicPartitionList::new();
        let assigned = assignment
            .add_partition_offset(&topic, PARTITION, Offset::Offset(next))
            .and_then(|()| consumer.0.assign(&assignment));
        assigned.map_err(|error| unavailable(&error))?;
        Ok(Self { consumer: consumer.0.clone(), topic, response_timeout: timeout, next })
    }

    /// Receives until the receiver is gone, another subscription has replaced this one, or the topic has become another one.
    pub(super) async fn run(mut self, inbox: Arc<Inbox>) {
        let (_closing, topic) = (Closing(self.consumer.clone()), self.topic.clone());
        inbox.fill(&topic, self.receive(&inbox)).await;
    }

    /// Receives until it cannot go on, and says why.
    async fn receive(&mut self, inbox: &Inbox) -> String {
        let consumer = self.consumer.clone();
        let mut beats = time::interval_at(time::Instant::now() + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        // What was next when it was asked: more may arrive before the answer is looked at.
        let mut beat: Option<(i64, task::JoinHandle<_>)> = None;
        loop {
            let idle = beat.is_none();
            let beating = async {
                match &mut beat {
                    Some((next, beat)) => (*next, Pin::new(beat).await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = consumer.recv() => match message {
                    Ok(message) => {
                        self.next = message.offset() + 1;
                        inbox.take(Bytes::copy_from_slice(message.payload().unwrap_or_default()));
                    }
                    Err(error) if is_final(&error) => return error.to_string(),
                    Err(error) => {
                        tracing::debug!(topic = &*self.topic, %error, "kafka");
                        if is_outage(&error) && idle {
                            beat = Some((self.next, self.beat()));
                        }
                    }
                },
                (next, answered) = beating => {
                    beat = None;
                    match answered {
                        Ok(Ok(end)) if end < next => return "the topic was made anew".into(),
                        Ok(Ok(_)) => inbox.up(),
                        Ok(Err(error)) => {
                            if inbox.down() {
                                tracing::warn!(topic = &*self.topic, %error, "the subscription is lost until kafka answers again");
                            }
                        }
                        Err(_) => return "the process ends".into(),
                    }
                }
                _ = beats.tick(), if idle => beat = Some((self.next, self.beat())),
            }
        }
    }

    /// Asks where the topic ends: only the broker that has it answers.
    fn beat(&self) -> task::JoinHandle<Result<i64, KafkaError>> {
        let (consumer, topic, timeout) = (self.consumer.clone(), self.topic.clone(), self.response_timeout);
        task::spawn_blocking(move || {
            consumer.fetch_watermarks(&topic, PARTITION, timeout).map(|(_, end)| end)
        })
    }
}

/// Ends a consumer where waiting for its threads holds up nobody.
struct Closing(Arc<Consumer>);

impl Drop for Closing {
    fn drop(&mut self) {
        let consumer = self.0.clone();
        // Where there is no runtime any more the process ends, and its threads with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(consumer));
        }
    }
}

/// What was read so far is not where this goes on.
fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::Fatal
        )
    )
}

/// The brokers may not be reached.
fn is_outage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

async fn is_there(consumer: &Arc<Consumer>, topic: &Arc<str>, timeout: Duration) -> Result<bool, RelayError> {
    let (consumer, topic) = (consumer.clone(), topic.clone());
    let metadata = blocking(move || consumer.fetch_metadata(Some(&topic), timeout)).await?;
    Ok(metadata.topics().iter().any(|topic| !topic.partitions().is_empty()))
}

async fn end(consumer: &Arc<Consumer>, topic: &Arc<str>, timeout: Duration) -> Result<i64, RelayError> {
    let (consumer, topic) = (consumer.clone(), topic.clone());
    blocking(move || consumer.fetch_watermarks(&topic, PARTITION, timeout)).await.map(|(_, end)| end)
}

async fn make(options: &KafkaOptions, topic: &str) -> Result<(), RelayError> {
    let config = options.client();
    let admin = blocking(move || config.create::<AdminClient<DefaultClientContext>>()).await?;
    let (retention, largest) =
        (options.retention.as_millis().to_string(), (HINT_BYTES_MAX + 65_536).to_string());
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(options.replication_factor.into()))
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention)
        .set("segment.ms", &retention)
        .set("segment.bytes", SEGMENT_BYTES)
        .set("max.message.bytes", &largest);
    let timeout = options.response_timeout.max(MAKE_TIMEOUT);
    let within = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let made = admin.create_topics([&new], &within).await;
    // Its threads are waited for.
    task::spawn_blocking(move || drop(admin));
    for made in made.map_err(|error| unavailable(&error))? {
        match made {
            Ok(topic) => tracing::info!(topic, "a topic is made"),
            // By another subscription, a moment ago.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(RelayError::Unavailable(format!("the topic {topic} cannot be made: {code}")));
            }
        }
    }
    Ok(())
}

/// Runs what waits for Kafka where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, RelayError> {
    let done = task::spawn_blocking(work).await;
    done.map_err(|_| RelayError::Unavailable("the process ends".into()))?.map_err(|error| unavailable(&error))
}
